// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IAnchors, IMarket, MarketBase, Member, State, Trade, Withdraw } from "../market/MarketBase.sol";
import "../market/MarketBase.sol";
import { TestToken } from "../mocks/Tokens.sol";

/// @dev Trades between three accounts in one market, by honest and dishonest steps in any order. A step that must not
/// work is caught here, and counted when it works after all. Beside the market it keeps its own account of money.
contract MarketHandler is MarketBase {
    uint256 internal constant PEOPLE = 3;

    uint256[] public keys;
    bytes32[] public ids;
    mapping(bytes32 => uint256) public buyerOf;
    mapping(bytes32 => uint256) public sellerOf;
    mapping(bytes32 => uint256) public timesPaid;

    uint256 public paidOut;
    uint256 public received;
    uint256 public depositedSum;
    uint256 public wrongly;

    constructor(IMarket market_, TestToken token_, IAnchors anchors_) {
        (market, vault, token, anchors, domainName) = (market_, market_, token_, anchors_, "Wattpact Market");
        operator = vm.addr(OPERATOR_KEY);
        arbiter = vm.addr(ARBITER_KEY);
        meter = vm.addr(METER_KEY);
        terms = keccak256(abi.encode(someTerms()));
        for (uint256 i; i < PEOPLE; ++i) {
            keys.push(0x1000 + i);
            put(keys[i], 5_000);
            depositedSum += 5_000;
        }
    }

    function setUp() public override { }

    function person(uint256 i) public view returns (address) {
        return vm.addr(keys[i % PEOPLE]);
    }

    function count() external view returns (uint256) {
        return ids.length;
    }

    function pick(uint256 which) private view returns (bytes32) {
        return ids[which % ids.length];
    }

    /* STEPS */

    function trade(uint8 from, uint8 to, uint16 wh, uint16 price, uint16 part) external {
        (from, to) = (from % uint8(PEOPLE), to % uint8(PEOPLE));
        uint40 begin = uint40(block.timestamp);
        (seller, buyer) = (person(from), person(to));
        offer = anOrder(seller);
        request = anOrder(buyer);
        (offer.wh, request.wh) = (uint64(wh) + 1, uint64(wh) + 1);
        (offer.start, offer.end, offer.deadline) = (begin, begin + 900, begin + 900);
        (request.start, request.end, request.deadline) = (begin, begin + 900, begin + 900);
        (offer.price, request.price) = (price % 500, price % 500);
        Match memory m = aMatch();
        (m.wh, m.price, m.start, m.end, m.deadline) = (uint64(part) + 1, price % 500, begin, begin + 900, begin + 900);
        bool excluded = market.memberOf(operator, seller).openClaims + market.memberOf(operator, buyer).openClaims != 0;
        try market.makeContract(
            m,
            offer,
            request,
            sign(OPERATOR_KEY, digest(m)),
            sign(keys[from], offerDigest(offer)),
            sign(keys[to], requestDigest(request))
        ) returns (
            bytes32 id
        ) {
            // Over-filled, with itself, or with a debtor: it must not have worked.
            if (m.wh > offer.wh || from == to || excluded) ++wrongly;
            ids.push(id);
            (sellerOf[id], buyerOf[id]) = (from, to);
        } catch { }
    }

    function report(uint256 which, bool bySeller, uint16 wh) external {
        if (ids.length == 0) return;
        bytes32 id = pick(which);
        uint256 key = keys[bySeller ? sellerOf[id] : buyerOf[id]];
        Provision memory m = provision(vm.addr(key), id, wh);
        bytes memory sig = sign(key, digest(m));
        if (stateOf(id) == State.Matched) {
            try market.report(m, sig) { } catch { }
        } else {
            try market.answer(m, sig) { } catch { }
        }
    }

    function deliverAll(uint256 which) external {
        if (ids.length == 0) return;
        bytes32 id = pick(which);
        Trade memory t = market.contractOf(operator, id);
        if (t.state != State.Matched || block.timestamp < t.start) return;
        Provision memory a = provision(person(sellerOf[id]), id, t.wh);
        Provision memory b = provision(person(buyerOf[id]), id, t.wh);
        try market.report(a, sign(keys[sellerOf[id]], digest(a))) {
            market.answer(b, sign(keys[buyerOf[id]], digest(b)));
        } catch { }
    }

    function settleReports(uint256 which) external {
        if (ids.length == 0) return;
        bytes32 id = pick(which);
        try market.stand(operator, id) { } catch { }
        try market.settleSmaller(operator, id) { } catch { }
        try market.lapse(operator, id) { } catch { }
    }

    /// @dev Anybody tries to pay, with the buyer's signature or without, from books or wallet.
    function pay(uint256 which, uint8 who, bool fromWallet, bool twice) external {
        if (ids.length == 0) return;
        bytes32 id = pick(which);
        Trade memory t = market.contractOf(operator, id);
        uint256 payer = who % 4 == 0 ? who % PEOPLE : buyerOf[id];
        bytes32[] memory list = one(id);
        if (twice) {
            list = new bytes32[](2);
            (list[0], list[1]) = (id, id);
        }
        uint88 amount = twice ? 2 * t.due : t.due;
        Payment memory m = Payment(person(payer), operator, list, amount, fromWallet, soon());
        (uint256 got, uint256 gave) = (wealth(sellerOf[id]), wealth(buyerOf[id]));
        try market.pay(m, sign(keys[payer], digest(m))) {
            if (payer != buyerOf[id] || t.state != State.Delivered || twice) ++wrongly;
            ++timesPaid[id];
            received += wealth(sellerOf[id]) - got;
            paidOut += t.escrowed ? t.due : gave - wealth(buyerOf[id]);
        } catch { }
    }

    /// @dev In the books and in the wallet.
    function wealth(uint256 who) private view returns (uint256) {
        return market.memberOf(operator, person(who)).balance + token.balanceOf(person(who));
    }

    function chase(uint256 which) external {
        if (ids.length == 0) return;
        bytes32 id = pick(which);
        Trade memory t = market.contractOf(operator, id);
        if (t.state != State.Delivered) return;
        Remind memory m = Remind(person(sellerOf[id]), operator, id, t.reminders + 1, soon());
        try market.remind(m, sign(keys[sellerOf[id]], digest(m))) { } catch { }
        IssueClaim memory c = IssueClaim(person(sellerOf[id]), operator, id, 0, soon());
        try market.issueClaim(c, sign(keys[sellerOf[id]], digest(c))) { } catch { }
    }

    function answerClaim(uint256 which, uint8 how, uint16 wh) external {
        if (ids.length == 0) return;
        bytes32 id = pick(which);
        uint256 key = keys[buyerOf[id]];
        Cure memory c = Cure(vm.addr(key), operator, id, soon());
        Dispute memory d = Dispute(vm.addr(key), operator, id, 0, soon());
        Ruling memory r = Ruling(arbiter, operator, id, wh, soon());
        if (how % 5 == 0) try market.cure(c, sign(key, digest(c))) { } catch { }
        if (how % 5 == 1) try market.dispute(d, sign(key, digest(d))) { } catch { }
        if (how % 5 == 2) try market.rule(r, sign(ARBITER_KEY, digest(r))) { } catch { }
        if (how % 5 == 3) try market.closeDispute(operator, id) { } catch { }
        if (how % 5 == 4) try market.collect(operator, id) { } catch { }
    }

    function cancel(uint256 which, bool bySeller) external {
        if (ids.length == 0) return;
        bytes32 id = pick(which);
        uint256 key = keys[bySeller ? sellerOf[id] : buyerOf[id]];
        Cancel memory m = Cancel(vm.addr(key), operator, id, soon());
        try market.cancelContract(m, sign(key, digest(m)), "") { } catch { }
    }

    function moveMoney(uint8 who, uint16 amount, uint8 how) external {
        uint256 key = keys[who % PEOPLE];
        if (how % 3 == 0) {
            put(key, amount % 2_000);
            depositedSum += amount % 2_000;
        } else if (how % 3 == 1) {
            Withdraw memory m = Withdraw(vm.addr(key), operator, amount, freshNonce(), soon());
            try market.withdraw(m, sign(key, digest(m))) { } catch { }
        } else {
            try market.takeOut(operator, vm.addr(key)) { } catch { }
        }
    }

    function time(uint24 seconds_) external {
        pass(seconds_ % 2 days);
    }
}
