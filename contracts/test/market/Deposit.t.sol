// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract DepositTest is MarketBase {
    function test_aDepositIsCredited() public view {
        check(balance(buyer) == RICH && token.balanceOf(address(market)) == 2 * RICH, "credited");
        check(market.numberOf(operator, operator) == 1, "the operator is number 1");
        check(market.numberOf(operator, buyer) == 2 && market.numberOf(operator, stranger) == 0, "numbers");
        check(market.token() == address(token) && market.withdrawWait() == WAIT, "as deployed");
        check(market.anchors() == address(anchors), "where keys are looked up");
    }

    function test_attack_aDepositCountsOnce() public {
        Deposit memory m = aDeposit(buyer, 1);
        token.mint(buyer, 2);
        bytes memory sig = sign(BUYER_KEY, digest(m));
        market.deposit(m, sig);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, buyer, m.nonce));
        market.deposit(m, sig);
    }

    function test_attack_nobodyDepositsAnothersTokens() public {
        token.mint(buyer, 2);
        Deposit memory m = aDeposit(buyer, 1);
        bytes memory forged = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(buyer));
        market.deposit(m, forged);
    }
}
