// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract StandTest is MarketBase {
    /// @dev A-10, provision_grace.
    function test_A10_theOnlyReportStandsAfterTheGrace() public {
        bytes32 id = reported();
        vm.warp(END + 1 hours - 1);
        vm.expectRevert(tooEarly(END + 1 hours));
        market.stand(operator, id);
        vm.warp(END + 1 hours);
        market.stand(operator, id);
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Delivered && t.due == DUE && t.unanswered, "stands");
    }

    function test_theBuyersOwnWordIsNotUnanswered() public {
        bytes32 id = matched();
        vm.warp(END);
        reportBy(BUYER_KEY, id, WH);
        vm.warp(END + 1 hours);
        market.stand(operator, id);
        check(!market.contractOf(operator, id).unanswered, "own word");
    }
}
