// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract CloseDisputeTest is MarketBase {
    function test_theClaimStandsWhenNobodyDecides() public {
        bytes32 id = disputed();
        uint256 from = block.timestamp + 7 days;
        vm.warp(from - 1);
        vm.expectRevert(tooEarly(from));
        market.closeDispute(operator, id);
        vm.warp(from);
        market.closeDispute(operator, id);
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Claimed && t.ruled && t.due == DUE + PENALTY && t.held == DUE + PENALTY, "stands");
        market.collect(operator, id);
        expectState(id, State.Resolved);
        expectSolvent(0);
    }
}
