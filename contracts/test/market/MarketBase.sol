// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IMarket } from "../../src/interfaces/IMarket.sol";
import "../../src/interfaces/MarketTypes.sol";
import "../VaultBase.sol";

/// @dev A market, terms, and the steps of a trade: 2,000 Wh at 250 units per kWh, so 500 units.
abstract contract MarketBase is VaultBase {
    string internal constant ORDER_FIELDS =
        "(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,uint88 price,uint40 start,uint40 end,uint256 nonce,uint40 deadline)";
    uint40 internal constant START = NOW + 1 hours;
    uint40 internal constant END = NOW + 2 hours;
    uint64 internal constant WH = 2_000;
    uint88 internal constant PRICE = 250;
    uint88 internal constant DUE = 500;
    uint88 internal constant PENALTY = 50;

    IMarket internal market;
    bytes32 internal terms;
    Order internal offer;
    Order internal request;
    Match internal made;

    function setUp() public virtual {
        actors();
        token = newToken();
        market = IMarket(create("Market.sol:Market", abi.encode(token, WAIT, anchors)));
        (vault, domainName) = (market, "Wattpact Market");
        terms = market.publishTerms(someTerms());
        put(BUYER_KEY, RICH);
        put(SELLER_KEY, RICH);
        vm.prank(operator);
        token.approve(address(market), type(uint256).max);
        offer = anOrder(seller);
        request = anOrder(buyer);
    }

    function newToken() internal virtual returns (TestToken) {
        return new TestToken();
    }

    function someTerms() internal view returns (Terms memory) {
        return Terms({
            operator: operator,
            arbiter: arbiter,
            startGrace: 15 minutes,
            provisionGrace: 1 hours,
            paymentDue: 1 days,
            reminderEvery: 1 days,
            disputeWindow: 3 days,
            rulingWindow: 7 days,
            penaltyBps: 1_000,
            cancelBps: 200,
            escrow: false
        });
    }

    /* DIGESTS */

    function offerDigest(Order memory m) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(keccak256(bytes(string.concat("Offer", ORDER_FIELDS))), m)));
    }

    function requestDigest(Order memory m) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(keccak256(bytes(string.concat("Request", ORDER_FIELDS))), m)));
    }

    function digest(Match memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "Match(address operator,bytes32 offer,bytes32 request,uint64 wh,uint88 price,uint40 start,uint40 end,uint256 nonce,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Cancel memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("Cancel(address account,address operator,bytes32 id,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Provision memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("Provision(address account,address operator,bytes32 contractId,uint64 wh,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Counter memory m) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(keccak256("Counter(address device,uint64 counterWh,uint40 meterTime)"), m)));
    }

    function digest(Payment memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "Payment(address payer,address operator,bytes32[] contracts,uint88 amount,bool fromWallet,uint40 deadline)"
        );
        bytes32 contracts = keccak256(abi.encodePacked(m.contracts));
        return typed(keccak256(abi.encode(head, m.payer, m.operator, contracts, m.amount, m.fromWallet, m.deadline)));
    }

    function digest(Confirm memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("Confirm(address account,address operator,bytes32 contractId,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Remind memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("Remind(address account,address operator,bytes32 contractId,uint8 number,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(IssueClaim memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "IssueClaim(address account,address operator,bytes32 contractId,bytes32 evidence,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Cure memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("Cure(address account,address operator,bytes32 contractId,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Dispute memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("Dispute(address account,address operator,bytes32 contractId,bytes32 reason,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Ruling memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("Ruling(address arbiter,address operator,bytes32 contractId,uint64 wh,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    /* ORDERS AND MATCHES */

    function anOrder(address account) internal returns (Order memory) {
        return Order({
            account: account,
            operator: operator,
            terms: terms,
            partner: address(0),
            device: account == seller ? meter : address(0),
            wh: WH,
            price: PRICE,
            start: START,
            end: END,
            nonce: freshNonce(),
            deadline: NOW + 1 days
        });
    }

    function aMatch() internal returns (Match memory) {
        return Match(
            operator, offerDigest(offer), requestDigest(request), WH, PRICE, START, END, freshNonce(), NOW + 1 days
        );
    }

    function bring(Match memory m) internal returns (bytes32) {
        return market.makeContract(
            m,
            offer,
            request,
            sign(OPERATOR_KEY, digest(m)),
            sign(SELLER_KEY, offerDigest(offer)),
            sign(BUYER_KEY, requestDigest(request))
        );
    }

    /// @dev A match of the whole of both orders, kept for the evidence of later.
    function matched() internal returns (bytes32) {
        made = aMatch();
        return bring(made);
    }

    /// @dev The same with new orders, so that there can be many.
    function another() internal returns (bytes32) {
        (offer, request) = (anOrder(seller), anOrder(buyer));
        return matched();
    }

    /// @dev A buyer with a paid contract needs no escrow any more.
    function history() internal {
        bytes32 id = delivered();
        payBy(BUYER_KEY, one(id), DUE, false);
        vm.warp(NOW);
        (offer, request) = (anOrder(seller), anOrder(buyer));
    }

    /* STEPS */

    function provision(address account, bytes32 id, uint64 wh) internal view returns (Provision memory) {
        return Provision(account, operator, id, wh, soon());
    }

    function reportBy(uint256 key, bytes32 id, uint64 wh) internal {
        Provision memory m = provision(vm.addr(key), id, wh);
        market.report(m, sign(key, digest(m)));
    }

    function answerBy(uint256 key, bytes32 id, uint64 wh) internal {
        Provision memory m = provision(vm.addr(key), id, wh);
        market.answer(m, sign(key, digest(m)));
    }

    function reported() internal returns (bytes32 id) {
        id = matched();
        vm.warp(END);
        reportBy(SELLER_KEY, id, WH);
    }

    function contested() internal returns (bytes32 id) {
        id = reported();
        answerBy(BUYER_KEY, id, WH / 2);
    }

    function delivered() internal returns (bytes32 id) {
        id = reported();
        answerBy(BUYER_KEY, id, WH);
    }

    function one(bytes32 id) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](1);
        ids[0] = id;
    }

    function payBy(uint256 key, bytes32[] memory ids, uint88 amount, bool fromWallet) internal {
        Payment memory m = Payment(vm.addr(key), operator, ids, amount, fromWallet, soon());
        market.pay(m, sign(key, digest(m)));
    }

    function confirmBy(uint256 key, bytes32 id) internal {
        Confirm memory m = Confirm(vm.addr(key), operator, id, soon());
        market.confirm(m, sign(key, digest(m)));
    }

    function remindBy(uint256 key, bytes32 id, uint8 number) internal {
        Remind memory m = Remind(vm.addr(key), operator, id, number, soon());
        market.remind(m, sign(key, digest(m)));
    }

    function reminded(bytes32 id) internal {
        for (uint8 i = 1; i <= 3; ++i) {
            pass(1 days);
            remindBy(SELLER_KEY, id, i);
        }
        pass(1 days);
    }

    function claimBy(uint256 key, bytes32 id) internal {
        IssueClaim memory m = IssueClaim(vm.addr(key), operator, id, keccak256("evidence"), soon());
        market.issueClaim(m, sign(key, digest(m)));
    }

    function claimed() internal returns (bytes32 id) {
        id = delivered();
        reminded(id);
        claimBy(SELLER_KEY, id);
    }

    function cureBy(uint256 key, bytes32 id) internal {
        Cure memory m = Cure(vm.addr(key), operator, id, soon());
        market.cure(m, sign(key, digest(m)));
    }

    function disputeBy(uint256 key, bytes32 id) internal {
        Dispute memory m = Dispute(vm.addr(key), operator, id, keccak256("reason"), soon());
        market.dispute(m, sign(key, digest(m)));
    }

    function disputed() internal returns (bytes32 id) {
        id = claimed();
        disputeBy(BUYER_KEY, id);
    }

    function ruleBy(uint256 key, bytes32 id, uint64 wh) internal {
        Ruling memory m = Ruling(vm.addr(key), operator, id, wh, soon());
        market.rule(m, sign(key, digest(m)));
    }

    function cancelBy(uint256 key, bytes32 id) internal {
        Cancel memory m = Cancel(vm.addr(key), operator, id, soon());
        market.cancelContract(m, sign(key, digest(m)), "");
    }

    function evidence(uint64 first, uint64 last) internal view returns (Evidence memory e) {
        e.ofSeller = true;
        e.first = Counter(meter, first, START);
        e.last = Counter(meter, last, END);
        e.firstSig = sign(METER_KEY, digest(e.first));
        e.lastSig = sign(METER_KEY, digest(e.last));
    }

    function stateOf(bytes32 id) internal view returns (State) {
        return market.contractOf(operator, id).state;
    }

    function expectState(bytes32 id, State state) internal view {
        check(stateOf(id) == state, "state");
    }

    function wrongState(bytes32 id, State state) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(MarketErrors.WrongState.selector, id, uint8(state));
    }

    /// @dev Nothing is lost: what the market holds is what its books say (one market, few members, no claim open).
    function expectSolvent(uint256 reserved) internal view {
        Member memory a = market.memberOf(operator, buyer);
        Member memory b = market.memberOf(operator, seller);
        uint256 owed = uint256(a.balance) + a.pending + b.balance + b.pending + reserved;
        check(token.balanceOf(address(market)) == owed, "solvent");
    }
}
