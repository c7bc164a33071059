// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract RuleTest is MarketBase {
    function tryRule(uint256 key, bytes32 id, uint64 wh, bytes memory expected) internal {
        Ruling memory m = Ruling(vm.addr(key), operator, id, wh, soon());
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(expected);
        market.rule(m, sig);
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev The arbiter's amount counts, with the penalty on it, and never above the claim.
    function testFuzz_theArbiterDecides(uint64 wh) public {
        bytes32 id = disputed();
        ruleBy(ARBITER_KEY, id, wh);
        uint256 amount = uint256(wh < WH ? wh : WH) * PRICE / 1000;
        uint256 owed = amount + amount / 10;
        Trade memory t = market.contractOf(operator, id);
        check(t.due == owed && t.held == owed, "owed");
        check(t.state == (owed == 0 ? State.Resolved : State.Claimed), "state");
        check(market.memberOf(operator, buyer).openClaims == (owed == 0 ? 0 : 1), "excluded until paid");
        check(balance(buyer) == RICH - owed, "the rest is back");
        expectSolvent(owed);
        if (owed == 0) return;
        market.collect(operator, id);
        expectState(id, State.Resolved);
        check(balance(seller) == RICH + owed, "collected at once");
        expectSolvent(0);
    }

    function test_attack_onlyTheArbiterOfTheTerms() public {
        bytes32 id = disputed();
        tryRule(OPERATOR_KEY, id, 0, abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, operator));
        tryRule(BUYER_KEY, id, 0, abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, buyer));
        Ruling memory m = Ruling(arbiter, operator, id, 0, soon());
        bytes memory forged = sign(BUYER_KEY, digest(m));
        vm.expectRevert(wrongSigner(arbiter));
        market.rule(m, forged);
    }

    function test_withinItsWindow() public {
        bytes32 id = disputed();
        uint256 until = block.timestamp + 7 days;
        vm.warp(until);
        tryRule(ARBITER_KEY, id, 0, tooLate(until));
        vm.warp(until - 1);
        ruleBy(ARBITER_KEY, id, 0);
        expectState(id, State.Resolved);
    }
}
