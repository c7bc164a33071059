// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Log } from "../Vm.sol";
import "./MarketBase.sol";

/// @dev contracts.md, Batches: a refused item changes nothing, is reported, and never sinks the others.
contract MarketBatchTest is MarketBase {
    bytes32 private constant REJECTED = keccak256("Rejected(bytes32,bytes4)");

    function payCall(uint256 key, bytes32 id, uint88 amount) internal view returns (bytes memory, bytes32) {
        Payment memory m = Payment(vm.addr(key), operator, one(id), amount, false, soon());
        return (abi.encodeCall(IMarket.pay, (m, sign(key, digest(m)))), digest(m));
    }

    function rejections() internal returns (bytes32[] memory digests, bytes4[] memory codes) {
        Log[] memory logs = vm.getRecordedLogs();
        digests = new bytes32[](logs.length);
        codes = new bytes4[](logs.length);
        uint256 count;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != REJECTED) continue;
            digests[count] = logs[i].topics[1];
            codes[count++] = abi.decode(logs[i].data, (bytes4));
        }
        assembly {
            mstore(digests, count)
            mstore(codes, count)
        }
    }

    function test_aBadItemDoesNotSinkTheOthers() public {
        bytes32 first = delivered();
        vm.warp(NOW);
        bytes32 second = another();
        vm.warp(END);
        reportBy(SELLER_KEY, second, WH);
        answerBy(BUYER_KEY, second, WH);
        bytes[] memory calls = new bytes[](5);
        bytes32 bad;
        (calls[0],) = payCall(BUYER_KEY, first, DUE);
        (calls[1], bad) = payCall(SELLER_KEY, second, DUE);
        calls[2] = hex"12345678";
        (calls[3],) = payCall(BUYER_KEY, second, DUE);
        calls[4] = hex"01";
        vm.recordLogs();
        market.batch(calls);
        (bytes32[] memory digests, bytes4[] memory codes) = rejections();
        check(digests.length == 3, "three");
        check(digests[0] == bad && codes[0] == MarketErrors.NotPartner.selector, "the digest of the payment");
        check(digests[1] == keccak256(calls[2]) && codes[1] == 0, "no function");
        check(digests[2] == keccak256(calls[4]) && codes[2] == 0, "no call");
        expectState(first, State.Paid);
        expectState(second, State.Paid);
        expectSolvent(0);
    }

    /// @dev A refused item burns nothing: it may succeed until its deadline.
    function test_aRefusedItemMaySucceedLater() public {
        Deposit memory m = aDeposit(stranger, 100);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IVault.deposit, (m, sign(STRANGER_KEY, digest(m))));
        vm.prank(stranger);
        token.approve(address(market), 100);
        market.batch(calls);
        check(balance(stranger) == 0 && !market.nonceUsed(stranger, m.nonce), "nothing");
        token.mint(stranger, 100);
        market.batch(calls);
        check(balance(stranger) == 100 && market.nonceUsed(stranger, m.nonce), "later");
    }

    /// @dev Attack: whoever brings a batch starves an item.
    function test_attack_withTooLittleGasTheWholeBatchReverts() public {
        bytes32 id = delivered();
        bytes[] memory calls = new bytes[](1);
        (calls[0],) = payCall(BUYER_KEY, id, DUE);
        try market.batch{ gas: 190_000 }(calls) {
            revert Failed("went through");
        } catch (bytes memory reason) {
            check(bytes4(reason) == CommonErrors.InsufficientGas.selector, "reverted");
        }
        expectState(id, State.Delivered);
    }

    /// @dev Attack: enough gas for the batch, too little for what the item needs. A batch in a batch asks for the most.
    function test_attack_anItemThatIsStarvedRevertsTheWholeBatch() public {
        bytes32 id = delivered();
        bytes[] memory inner = new bytes[](1);
        (inner[0],) = payCall(BUYER_KEY, id, DUE);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IMessenger.batch, (inner));
        bytes memory data = abi.encodeCall(IMessenger.batch, (calls));
        bool starved;
        bool worked;
        for (uint256 gas = 190_000; gas < 230_000; gas += 500) {
            uint256 state = vm.snapshotState();
            (bool ok, bytes memory reason) = address(market).call{ gas: gas }(data);
            bool paid = stateOf(id) == State.Paid;
            vm.revertToState(state);
            check(ok == paid, "starved into a refusal");
            check(ok || bytes4(reason) == CommonErrors.InsufficientGas.selector, "and says so");
            (starved, worked) = (starved || !ok, worked || ok);
        }
        check(starved && worked, "both were tried");
    }

    function test_theCallerStaysTheCaller() public {
        bytes32 id = delivered();
        Payment memory m = Payment(buyer, operator, one(id), DUE, false, soon());
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IMarket.pay, (m, ""));
        market.batch(calls);
        expectState(id, State.Delivered);
        vm.prank(buyer);
        market.batch(calls);
        expectState(id, State.Paid);
    }

    function test_digestsOfAllMessages() public {
        bytes32 id = delivered();
        Match memory m = aMatch();
        check(
            market.digestOf(abi.encodeCall(IMarket.makeContract, (m, offer, request, "", "", ""))) == digest(m), "match"
        );
        Payment memory p = Payment(buyer, operator, new bytes32[](2), DUE, true, soon());
        check(market.digestOf(abi.encodeCall(IMarket.pay, (p, "ab"))) == digest(p), "payment");
        p.contracts = new bytes32[](0);
        check(market.digestOf(abi.encodeCall(IMarket.pay, (p, ""))) == digest(p), "payment of none");
        Provision memory r = provision(seller, id, 3);
        check(market.digestOf(abi.encodeCall(IMarket.report, (r, ""))) == digest(r), "report");
        check(market.digestOf(abi.encodeCall(IMarket.answer, (r, ""))) == digest(r), "answer");
        Cancel memory c = Cancel(seller, operator, id, soon());
        check(market.digestOf(abi.encodeCall(IMarket.cancelOrder, (c, ""))) == digest(c), "order");
        check(market.digestOf(abi.encodeCall(IMarket.cancelContract, (c, "", ""))) == digest(c), "contract");
        bytes memory call = abi.encodeCall(IMarket.stand, (operator, id));
        check(market.digestOf(call) == keccak256(call), "no message");
        digestsOfClaims(id);
    }

    function digestsOfClaims(bytes32 id) private {
        Confirm memory a = Confirm(seller, operator, id, soon());
        check(market.digestOf(abi.encodeCall(IMarket.confirm, (a, ""))) == digest(a), "confirm");
        Remind memory b = Remind(seller, operator, id, 1, soon());
        check(market.digestOf(abi.encodeCall(IMarket.remind, (b, ""))) == digest(b), "remind");
        IssueClaim memory c = IssueClaim(seller, operator, id, "e", soon());
        check(market.digestOf(abi.encodeCall(IMarket.issueClaim, (c, ""))) == digest(c), "claim");
        Cure memory d = Cure(buyer, operator, id, soon());
        check(market.digestOf(abi.encodeCall(IMarket.cure, (d, ""))) == digest(d), "cure");
        Dispute memory e = Dispute(buyer, operator, id, "r", soon());
        check(market.digestOf(abi.encodeCall(IMarket.dispute, (e, ""))) == digest(e), "dispute");
        Ruling memory f = Ruling(arbiter, operator, id, 1, soon());
        check(market.digestOf(abi.encodeCall(IMarket.rule, (f, ""))) == digest(f), "ruling");
        Deposit memory g = aDeposit(buyer, 1);
        check(market.digestOf(abi.encodeCall(IVault.deposit, (g, ""))) == digest(g), "deposit");
        Withdraw memory h = Withdraw(buyer, operator, 1, freshNonce(), soon());
        check(market.digestOf(abi.encodeCall(IVault.withdraw, (h, ""))) == digest(h), "withdraw");
    }
}
