// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./DemandsBase.sol";

/// @dev A debit without lines, or with lines nobody can see, does not stand.
contract VoidUnshownTest is DemandsBase {
    function test_attack_aDebitWithoutLinesIsVoid() public {
        (bytes memory d, bytes memory c) = usual();
        settle(keccak256("no lines at all"), d, c);
        demandBy(BUYER_KEY, 0);
        vm.warp(NOW + 1 days);
        vm.expectRevert(tooEarly(NOW + 1 days + 1));
        net.voidUnshown(operator, TODAY, settled, debits, 0);
        vm.warp(NOW + 1 days + 1);
        net.voidUnshown(operator, TODAY, settled, debits, 0);
        check(balance(buyer) == 11_000 && balance(operator) == 0, "debits back, deposit to the debtor");
        expectSolvent(0);
    }
}
