// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./NetBase.sol";

contract ReleaseNetTest is NetBase {
    function test_creditsAreFrozenForTheWindow() public {
        settleUsual();
        uint256 from = uint256(NOW) + WINDOW;
        vm.warp(from - 1);
        vm.expectRevert(tooEarly(from));
        net.releaseNet(operator, TODAY, settled, credits);
        vm.warp(from);
        net.releaseNet(operator, TODAY, settled, credits);
        check(balance(seller) == 10_400 && balance(third) == 10_200, "paid");
        expectSolvent(0);
    }

    function test_attack_once() public {
        settleUsual();
        vm.warp(NOW + WINDOW);
        net.releaseNet(operator, TODAY, settled, credits);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NetUnknown.selector, operator, TODAY));
        net.releaseNet(operator, TODAY, settled, credits);
    }

    function test_attack_otherCredits() public {
        settleUsual();
        vm.warp(NOW + WINDOW);
        bytes memory other = entry(seller, 600);
        vm.expectRevert(MarketErrors.BadEntries.selector);
        net.releaseNet(operator, TODAY, settled, other);
        Net memory changed = settled;
        changed.credits = keccak256(other);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NetUnknown.selector, operator, TODAY));
        net.releaseNet(operator, TODAY, changed, other);
    }

    /// @dev A book that cannot count what it is owed loses none of it: the release waits until there is room.
    function test_aBalanceThatCannotCountMore() public {
        settleUsual();
        put(SELLER_KEY, type(uint88).max - 10_000);
        vm.warp(NOW + WINDOW);
        vm.expectRevert(abi.encodeWithSignature("SafeCastOverflowedUintDowncast(uint8,uint256)", 88, 400));
        net.releaseNet(operator, TODAY, settled, credits);
        startOut(SELLER_KEY, 400);
        net.releaseNet(operator, TODAY, settled, credits);
        check(balance(seller) == type(uint88).max, "to the last unit");
        expectSolvent(0);
    }
}
