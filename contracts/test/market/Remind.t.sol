// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract RemindTest is MarketBase {
    function tryRemind(uint256 key, bytes32 id, uint8 number, bytes memory expected) internal {
        Remind memory m = Remind(vm.addr(key), operator, id, number, soon());
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(expected);
        market.remind(m, sig);
    }

    /// @dev M-36, A-12, A-13: at T, 2T, 3T.
    function test_M36_threeEachAfterItsWait() public {
        bytes32 id = delivered();
        for (uint8 i = 1; i <= 3; ++i) {
            uint256 from = market.contractOf(operator, id).mark + 1 days;
            vm.warp(from - 1);
            tryRemind(SELLER_KEY, id, i, tooEarly(from));
            vm.warp(from);
            remindBy(SELLER_KEY, id, i);
            check(market.contractOf(operator, id).reminders == i, "counted");
        }
        pass(30 days);
        tryRemind(SELLER_KEY, id, 4, abi.encodeWithSelector(MarketErrors.WrongReminder.selector, 4));
    }

    function test_attack_theSameReminderAgain() public {
        bytes32 id = delivered();
        pass(1 days);
        remindBy(SELLER_KEY, id, 1);
        pass(1 days);
        tryRemind(SELLER_KEY, id, 1, abi.encodeWithSelector(MarketErrors.WrongReminder.selector, 2));
        tryRemind(SELLER_KEY, id, 3, abi.encodeWithSelector(MarketErrors.WrongReminder.selector, 2));
    }

    function test_attack_onlyTheSeller() public {
        bytes32 id = delivered();
        pass(1 days);
        tryRemind(BUYER_KEY, id, 1, abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, buyer));
    }

    /// @dev A-14: not when it is paid.
    function test_A14_notWhenPaid() public {
        bytes32 id = delivered();
        payBy(BUYER_KEY, one(id), DUE, false);
        pass(1 days);
        tryRemind(SELLER_KEY, id, 1, wrongState(id, State.Paid));
    }
}
