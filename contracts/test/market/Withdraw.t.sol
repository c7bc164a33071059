// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract WithdrawTest is MarketBase {
    function test_attack_noMoreThanThereIs() public {
        Withdraw memory m = Withdraw(buyer, operator, RICH + 1, freshNonce(), soon());
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.BalanceShort.selector, buyer, RICH, RICH + 1));
        market.withdraw(m, sig);
        m.operator = stranger;
        sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotMember.selector, stranger, buyer));
        market.withdraw(m, sig);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotMember.selector, stranger, buyer));
        market.takeOut(stranger, buyer);
    }

    function test_attack_aWithdrawalCountsOnceAndForItsSigner() public {
        Withdraw memory m = Withdraw(buyer, operator, 1, freshNonce(), soon());
        bytes memory forged = sign(OPERATOR_KEY, digest(m));
        vm.expectRevert(wrongSigner(buyer));
        market.withdraw(m, forged);
        bytes memory sig = sign(BUYER_KEY, digest(m));
        market.withdraw(m, sig);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, buyer, m.nonce));
        market.withdraw(m, sig);
    }
}
