// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { BlacklistToken, FeeToken, NoReturnToken, ReenteringToken } from "../mocks/Tokens.sol";
import "./NetBase.sol";

/// @dev Tokens that behave badly under a net settlement.
contract NetTokensTest is NetBase {
    function test_attack_aFeeOnTransferIsRefused() public {
        turnInto(address(new FeeToken()));
        token.mint(third, 1_000);
        Deposit memory m = aDeposit(third, 1_000);
        bytes memory sig = sign(THIRD_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.WrongAmountReceived.selector, 1_000, 990));
        net.deposit(m, sig);
        expectSolvent(0);
    }

    function test_noReturnValue() public {
        turnInto(address(new NoReturnToken()));
        token.mint(third, 1_000);
        Deposit memory m = aDeposit(third, 1_000);
        net.deposit(m, sign(THIRD_KEY, digest(m)));
        startOut(THIRD_KEY, 11_000);
        pass(WAIT);
        net.takeOut(operator, third);
        check(token.balanceOf(third) == 11_000, "in and out");
        expectSolvent(0);
    }

    function test_attack_reenteringAPayout() public {
        turnInto(address(new ReenteringToken()));
        ReenteringToken odd = ReenteringToken(address(token));
        startOut(THIRD_KEY, 10_000);
        pass(WAIT);
        odd.arm(address(net), abi.encodeCall(IVault.takeOut, (operator, third)));
        net.takeOut(operator, third);
        check(odd.blockedIt() && bytes4(odd.answer()) == MarketErrors.Reentered.selector, "blocked");
        check(token.balanceOf(third) == 10_000, "once");
        expectSolvent(0);
    }

    /// @dev What moves no tokens is not guarded: entered from within a deposit it must not change what that counts.
    function test_attack_aReleaseInTheMiddleOfADeposit() public {
        settleUsual();
        turnInto(address(new ReenteringToken()));
        ReenteringToken odd = ReenteringToken(address(token));
        token.mint(third, 1_000);
        vm.warp(NOW + WINDOW);
        odd.arm(address(net), abi.encodeCall(INetSettlement.releaseNet, (operator, TODAY, settled, credits)));
        Deposit memory m = aDeposit(third, 1_000);
        net.deposit(m, sign(THIRD_KEY, digest(m)));
        check(!odd.blockedIt(), "released");
        check(balance(third) == 11_200 && balance(seller) == 10_400, "both, once");
        expectSolvent(0);
    }

    /// @dev Inside the books nothing depends on the token: nobody is blacklisted out of a netting, nor holds it up.
    function test_attack_aBlacklistedPartyHoldsUpNobody() public {
        turnInto(address(new BlacklistToken()));
        BlacklistToken odd = BlacklistToken(address(token));
        odd.block_(seller, true);
        odd.block_(buyer, true);
        settleUsual();
        vm.warp(NOW + WINDOW);
        net.releaseNet(operator, TODAY, settled, credits);
        check(balance(seller) == 10_400 && balance(third) == 10_200 && balance(buyer) == 9_400, "all of them");
        startOut(SELLER_KEY, 10_400);
        startOut(THIRD_KEY, 10_200);
        pass(WAIT);
        vm.expectRevert(abi.encodeWithSelector(BlacklistToken.Blocked.selector, seller));
        net.takeOut(operator, seller);
        net.takeOut(operator, third);
        odd.block_(seller, false);
        net.takeOut(operator, seller);
        check(token.balanceOf(seller) == 10_400 && token.balanceOf(third) == 10_200, "out");
    }
}
