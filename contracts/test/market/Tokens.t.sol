// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { BlacklistToken, FalseToken, FeeToken, NoReturnToken, ReenteringToken } from "../mocks/Tokens.sol";
import "./MarketBase.sol";

/// @dev Tokens that behave badly.
contract TokensTest is MarketBase {
    function with(address odd) private {
        token = TestToken(odd);
        market = IMarket(create("Market.sol:Market", abi.encode(odd, WAIT, anchors)));
        vault = market;
        market.publishTerms(someTerms());
        for (uint256 i; i < 2; ++i) {
            vm.prank(i == 0 ? seller : buyer);
            // Not by the interface: one of them returns nothing.
            (bool ok,) = odd.call(abi.encodeCall(token.approve, (address(market), type(uint256).max)));
            check(ok, "approved");
            token.mint(i == 0 ? seller : buyer, RICH);
        }
    }

    function deposit(uint256 key, uint88 amount) internal {
        Deposit memory m = aDeposit(vm.addr(key), amount);
        market.deposit(m, sign(key, digest(m)));
    }

    function tryDeposit(uint256 key, uint88 amount) external {
        deposit(key, amount);
    }

    function tryPay(bytes32 id) external {
        payBy(BUYER_KEY, one(id), DUE, true);
    }

    function test_attack_aFeeOnTransferIsRefused() public {
        with(address(new FeeToken()));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.WrongAmountReceived.selector, 1_000, 990));
        this.tryDeposit(BUYER_KEY, 1_000);
    }

    function test_noReturnValue() public {
        with(address(new NoReturnToken()));
        deposit(BUYER_KEY, 1_000);
        check(balance(buyer) == 1_000, "credited");
        startOut(BUYER_KEY, 1_000);
        pass(WAIT);
        market.takeOut(operator, buyer);
        check(token.balanceOf(buyer) == RICH, "out");
    }

    function test_attack_aTokenThatAnswersFalse() public {
        with(address(new FalseToken()));
        vm.expectRevert();
        this.tryDeposit(BUYER_KEY, 1_000);
        check(balance(buyer) == 0, "nothing");
    }

    /// @dev Attack: the deposit within the deposit would be counted twice.
    function test_attack_reenteringADeposit() public {
        ReenteringToken odd = new ReenteringToken();
        with(address(odd));
        Deposit memory inner = aDeposit(seller, 500);
        odd.arm(address(market), abi.encodeCall(IVault.deposit, (inner, sign(SELLER_KEY, digest(inner)))));
        deposit(BUYER_KEY, 1_000);
        check(odd.blockedIt() && bytes4(odd.answer()) == MarketErrors.Reentered.selector, "blocked");
        check(balance(buyer) == 1_000 && balance(seller) == 0, "once");
        expectSolvent(0);
    }

    function test_attack_reenteringAPayout() public {
        ReenteringToken odd = new ReenteringToken();
        with(address(odd));
        deposit(BUYER_KEY, 1_000);
        deposit(SELLER_KEY, 1_000);
        startOut(BUYER_KEY, 1_000);
        pass(WAIT);
        odd.arm(address(market), abi.encodeCall(IVault.takeOut, (operator, buyer)));
        market.takeOut(operator, buyer);
        check(odd.blockedIt() && token.balanceOf(buyer) == RICH, "once");
        check(market.memberOf(operator, buyer).pending == 0, "empty");
        expectSolvent(0);
    }

    function test_attack_reenteringThroughABatch() public {
        ReenteringToken odd = new ReenteringToken();
        with(address(odd));
        Deposit memory inner = aDeposit(seller, 500);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(IVault.deposit, (inner, sign(SELLER_KEY, digest(inner))));
        odd.arm(address(market), abi.encodeCall(IMessenger.batch, (calls)));
        deposit(BUYER_KEY, 1_000);
        check(balance(buyer) == 1_000 && balance(seller) == 0, "once");
        expectSolvent(0);
    }

    function test_attack_reenteringAWalletPayment() public {
        ReenteringToken odd = new ReenteringToken();
        with(address(odd));
        deposit(BUYER_KEY, 10_000);
        history();
        bytes32 id = delivered();
        Payment memory m = Payment(buyer, operator, one(id), DUE, true, soon());
        bytes memory call = abi.encodeCall(IMarket.pay, (m, sign(BUYER_KEY, digest(m))));
        odd.arm(address(market), call);
        uint256 before = token.balanceOf(seller);
        payBy(BUYER_KEY, one(id), DUE, true);
        check(odd.blockedIt() && token.balanceOf(seller) == before + DUE, "once");
    }

    /// @dev One blacklisted party never sinks a batch, and loses nothing.
    function test_attack_aBlacklistedPartySinksNobody() public {
        BlacklistToken odd = new BlacklistToken();
        with(address(odd));
        deposit(BUYER_KEY, 1_000);
        deposit(SELLER_KEY, 1_000);
        startOut(BUYER_KEY, 1_000);
        startOut(SELLER_KEY, 1_000);
        pass(WAIT);
        odd.block_(buyer, true);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(IVault.takeOut, (operator, buyer));
        calls[1] = abi.encodeCall(IVault.takeOut, (operator, seller));
        market.batch(calls);
        check(token.balanceOf(seller) == RICH && token.balanceOf(buyer) == RICH - 1_000, "the other got it");
        check(market.memberOf(operator, buyer).pending == 1_000, "nothing lost");
        odd.block_(buyer, false);
        market.takeOut(operator, buyer);
        check(token.balanceOf(buyer) == RICH, "later");
    }

    /// @dev Inside the books nothing depends on the token: a blacklisted seller is paid there.
    function test_aBlacklistedSellerIsPaidInTheBooks() public {
        BlacklistToken odd = new BlacklistToken();
        with(address(odd));
        deposit(BUYER_KEY, 10_000);
        deposit(SELLER_KEY, 10_000);
        history();
        bytes32 id = delivered();
        odd.block_(seller, true);
        vm.expectRevert(abi.encodeWithSelector(BlacklistToken.Blocked.selector, seller));
        this.tryPay(id);
        payBy(BUYER_KEY, one(id), DUE, false);
        expectState(id, State.Paid);
    }
}
