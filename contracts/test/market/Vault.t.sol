// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

/// @dev deposit, depositWithPermit, depositFor, withdraw, takeOut.
contract VaultTest is MarketBase {
    function test_aDepositIsCredited() public view {
        check(balance(buyer) == RICH && token.balanceOf(address(market)) == 2 * RICH, "credited");
        check(market.numberOf(operator, operator) == 1, "the operator is number 1");
        check(market.numberOf(operator, buyer) == 2 && market.numberOf(operator, stranger) == 0, "numbers");
        check(market.token() == address(token) && market.withdrawWait() == WAIT, "as deployed");
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

    function permitOf(uint256 value) internal view returns (PermitSignature memory p) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                stranger,
                address(market),
                value,
                token.nonces(stranger),
                block.timestamp
            )
        );
        bytes32 hash = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (p.value, p.deadline) = (value, block.timestamp);
        (p.v, p.r, p.s) = vm.sign(STRANGER_KEY, hash);
    }

    function test_withPermit() public {
        token.mint(stranger, 100);
        Deposit memory m = aDeposit(stranger, 100);
        market.depositWithPermit(m, sign(STRANGER_KEY, digest(m)), permitOf(100));
        check(balance(stranger) == 100, "credited");
    }

    /// @dev Attack: somebody uses the permit first.
    function test_attack_aPermitUsedBeforeDoesNoHarm() public {
        token.mint(stranger, 100);
        PermitSignature memory p = permitOf(100);
        token.permit(stranger, address(market), p.value, p.deadline, p.v, p.r, p.s);
        Deposit memory m = aDeposit(stranger, 100);
        market.depositWithPermit(m, sign(STRANGER_KEY, digest(m)), p);
        check(balance(stranger) == 100, "credited");
    }

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
