// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./AllowancesBase.sol";

/// @dev A-29: automatic funding is capped per day and contract, and revocable.
contract FundTest is AllowancesBase {
    function test_A29_whatIsMissingIsDrawn() public {
        allow(1_000, 600, 1);
        bytes32 id = poor(100);
        allowances.fund(stranger, operator, buyer, id);
        check(balance(buyer) == DUE && token.balanceOf(stranger) == 9_600, "what is missing");
        check(allowances.fundingOf(stranger, operator, buyer).spent == 400, "counted");
        tryFund(id, abi.encodeWithSelector(MarketErrors.NothingToFund.selector, id));
        payBy(BUYER_KEY, one(id), DUE, false);
        tryFund(id, abi.encodeWithSelector(MarketErrors.NothingToFund.selector, id));
    }

    function test_A29_capPerContract() public {
        allow(10_000, DUE - 1, 1);
        tryFund(poor(0), short_(DUE - 1, DUE));
    }

    /// @dev Attack: a stolen key takes the money out of the book and has the same contract funded once more.
    function test_attack_A29_aContractIsFundedOnceHoweverOften() public {
        allow(10_000, DUE + 50, 1);
        bytes32 id = poor(0);
        allowances.fund(stranger, operator, buyer, id);
        check(allowances.drawnFor(stranger, operator, id) == DUE, "drawn");
        startOut(BUYER_KEY, DUE);
        tryFund(id, short_(50, DUE));
        pass(1 days);
        tryFund(id, short_(50, DUE));
        // A new allowance forgets nothing; a higher cap leaves the rest of it.
        allow(10_000, 2 * DUE, 2);
        allowances.fund(stranger, operator, buyer, id);
        check(allowances.drawnFor(stranger, operator, id) == 2 * DUE, "drawn in all");
    }

    function test_A29_capPerDay() public {
        allow(DUE + 100, DUE, 1);
        bytes32 first = poor(0);
        allowances.fund(stranger, operator, buyer, first);
        payBy(BUYER_KEY, one(first), DUE, false);
        vm.warp(NOW);
        (offer, request) = (anOrder(seller), anOrder(buyer));
        bytes32 second = poor(0);
        tryFund(second, short_(100, DUE));
        // A new allowance is no second one on the same day.
        allow(DUE + 100, DUE, 2);
        tryFund(second, short_(100, DUE));
        pass(1 days);
        allowances.fund(stranger, operator, buyer, second);
        check(balance(buyer) == DUE, "the next day");
    }

    function test_A29_over() public {
        allow(1_000, 1_000, 1);
        bytes32 id = poor(0);
        vm.warp(NOW + 30 days + 1);
        tryFund(id, short_(0, DUE));
    }

    function allowClaim(uint88 perContract, uint32 nonce) private {
        Allowance memory m =
            Allowance(stranger, buyer, operator, 10_000, perContract, type(uint40).max, nonce, type(uint40).max);
        allowances.allow(m, sign(STRANGER_KEY, digest(m)));
    }

    /// @dev M-62: a claim is amount and penalty, less what was taken for it when it was issued.
    function test_M62_claimIsFundedWithinTheCaps() public {
        bytes32 id = poor(100);
        vm.warp(END + WAIT);
        vault.takeOut(operator, buyer);
        reminded(id);
        claimBy(SELLER_KEY, id);
        check(balance(buyer) == 0, "all that there was is held");
        allowClaim(DUE + PENALTY - 101, 1);
        tryFund(id, short_(DUE + PENALTY - 101, DUE + PENALTY - 100));
        allowClaim(DUE + PENALTY - 100, 2);
        allowances.fund(stranger, operator, buyer, id);
        check(balance(buyer) == DUE + PENALTY - 100, "what is missing, and no more");
        check(token.balanceOf(stranger) == 10_000 - (DUE + PENALTY - 100), "drawn");
        tryFund(id, abi.encodeWithSelector(MarketErrors.NothingToFund.selector, id));
        cureBy(BUYER_KEY, id);
        tryFund(id, abi.encodeWithSelector(MarketErrors.NothingToFund.selector, id));
    }

    /// @dev What is contested is not owed before it is ruled on.
    function test_M62_contestedClaimIsNotFunded() public {
        allow(10_000, 10_000, 1);
        bytes32 id = poor(0);
        reminded(id);
        claimBy(SELLER_KEY, id);
        disputeBy(BUYER_KEY, id);
        tryFund(id, abi.encodeWithSelector(MarketErrors.NothingToFund.selector, id));
    }

    /// @dev Attack: have another's contract funded, or draw without one.
    function test_attack_onlyTheAccountsOwnContracts() public {
        allow(1_000, 1_000, 1);
        bytes32 id = poor(0);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, seller));
        allowances.fund(stranger, operator, seller, id);
        tryFund("none", abi.encodeWithSelector(MarketErrors.NotPartner.selector, bytes32("none"), buyer));
    }
}
