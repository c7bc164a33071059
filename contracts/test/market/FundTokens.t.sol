// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { BlacklistToken, FalseToken, FeeToken, NoReturnToken, ReenteringToken } from "../mocks/Tokens.sol";
import "./AllowancesBase.sol";

/// @dev fund, where the token behaves badly: what is drawn is in the buyer's book or stays in the owner's wallet.
contract FundTokensTest is AllowancesBase {
    bytes32 private _id;

    function setUp() public override {
        super.setUp();
        allow(1_000, 1_000, 1);
        _id = poor(0);
    }

    function fund() private {
        allowances.fund(stranger, operator, buyer, _id);
    }

    function expectFunded(uint88 amount) private view {
        check(balance(buyer) == amount && allowances.fundingOf(stranger, operator, buyer).spent == amount, "books");
        check(token.balanceOf(stranger) == 10_000 - amount && token.balanceOf(address(allowances)) == 0, "wallets");
    }

    function test_attack_aFeeOnTransferIsRefused() public {
        turnInto(address(new FeeToken()));
        vm.expectRevert();
        fund();
        expectFunded(0);
    }

    function test_noReturnValue() public {
        turnInto(address(new NoReturnToken()));
        fund();
        expectFunded(DUE);
    }

    function test_attack_aTokenThatAnswersFalse() public {
        turnInto(address(new FalseToken()));
        vm.expectRevert(abi.encodeWithSignature("SafeERC20FailedOperation(address)", token));
        fund();
        expectFunded(0);
    }

    /// @dev Attack: draw again before the first draw has reached the book.
    function test_attack_reenteringAFunding() public {
        turnInto(address(new ReenteringToken()));
        ReenteringToken odd = ReenteringToken(address(token));
        odd.arm(address(allowances), abi.encodeCall(IAllowances.fund, (stranger, operator, buyer, _id)));
        fund();
        check(odd.blockedIt() && bytes4(odd.answer()) == MarketErrors.Reentered.selector, "blocked");
        expectFunded(DUE);
    }

    function test_aBlacklistedOwnerFundsLater() public {
        turnInto(address(new BlacklistToken()));
        BlacklistToken odd = BlacklistToken(address(token));
        odd.block_(stranger, true);
        vm.expectRevert(abi.encodeWithSelector(BlacklistToken.Blocked.selector, stranger));
        fund();
        expectFunded(0);
        odd.block_(stranger, false);
        fund();
        expectFunded(DUE);
    }
}
