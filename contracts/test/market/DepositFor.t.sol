// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract DepositForTest is MarketBase {
    function test_forAnother() public {
        token.mint(operator, 100);
        vm.prank(operator);
        market.depositFor(operator, stranger, 100);
        check(balance(stranger) == 100 && token.balanceOf(operator) == 0, "credited");
    }

    function test_booksHaveAnOperatorAndAnAccount() public {
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        market.depositFor(address(0), stranger, 0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        market.depositFor(operator, address(0), 0);
    }
}
