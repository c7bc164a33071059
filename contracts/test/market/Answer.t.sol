// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract AnswerTest is MarketBase {
    /// @dev M-32: both agree, energy provision is finished.
    function test_M32_agreement() public {
        bytes32 id = delivered();
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Delivered && t.due == DUE && t.mark == END && !t.unanswered, "delivered");
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    function testFuzz_A10_lessIsPaidAtItsShare(uint64 wh) public {
        wh = uint64(bound(wh, 1, WH));
        bytes32 id = matched();
        vm.warp(END);
        reportBy(BUYER_KEY, id, wh);
        answerBy(SELLER_KEY, id, wh);
        uint88 due = uint88(uint256(wh) * PRICE / 1000);
        Trade memory t = market.contractOf(operator, id);
        check(t.due == due, "floor");
        check(t.state == (due == 0 ? State.Resolved : State.Delivered), "state");
        check(balance(buyer) == RICH - due, "the rest of the reserve is back");
        expectSolvent(due);
    }

    function test_nothingDeliveredIsNothingOwed() public {
        bytes32 id = matched();
        vm.warp(END);
        reportBy(SELLER_KEY, id, 0);
        answerBy(BUYER_KEY, id, 0);
        expectState(id, State.Resolved);
        check(balance(buyer) == RICH, "all back");
    }

    function test_A10_anotherAmountContests() public {
        bytes32 id = contested();
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Contested && t.firstWh == WH && t.otherWh == WH / 2, "contested");
    }

    /// @dev Attack: one partner answers itself.
    function test_attack_nobodyAnswersItself() public {
        bytes32 id = reported();
        Provision memory m = provision(seller, id, WH);
        bytes memory sig = sign(SELLER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.ReportedAlready.selector, id, seller));
        market.answer(m, sig);
    }

    /// @dev Attack: an answer after the grace.
    function test_attack_aLateAnswerIsRefused() public {
        bytes32 id = reported();
        vm.warp(END + 1 hours);
        Provision memory m = provision(buyer, id, 1);
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(tooLate(END + 1 hours));
        market.answer(m, sig);
        market.stand(operator, id);
        expectState(id, State.Delivered);
    }

    function test_attack_aStrangerCannot() public {
        bytes32 id = reported();
        Provision memory m = provision(stranger, id, WH);
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, stranger));
        market.answer(m, sig);
    }
}
