// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract TakeOutTest is MarketBase {
    function test_moneyLeavesAfterTheWaitOnly() public {
        startOut(BUYER_KEY, 100);
        check(balance(buyer) == RICH - 100 && market.memberOf(operator, buyer).pending == 100, "on the way");
        vm.warp(NOW + WAIT - 1);
        vm.expectRevert(tooEarly(NOW + WAIT));
        market.takeOut(operator, buyer);
        vm.warp(NOW + WAIT);
        market.takeOut(operator, buyer);
        check(token.balanceOf(buyer) == 100, "out");
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NothingPending.selector, buyer));
        market.takeOut(operator, buyer);
        expectSolvent(0);
    }

    /// @dev Attack: begin with little and add the rest on the last day.
    function test_attack_aSecondWithdrawalStartsTheWaitAnew() public {
        startOut(BUYER_KEY, 1);
        vm.warp(NOW + WAIT - 1);
        startOut(BUYER_KEY, 99);
        vm.warp(NOW + WAIT);
        vm.expectRevert(tooEarly(uint256(NOW) + 2 * WAIT - 1));
        market.takeOut(operator, buyer);
    }
}
