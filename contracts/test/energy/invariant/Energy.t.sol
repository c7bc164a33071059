// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../EnergyBase.sol";
import { EnergyHandler } from "./EnergyHandler.sol";

/// @dev contracts.md, Proof: tokens minted equal the sum of accepted counter differences; the sum of claimable, balances,
/// dust and what waits is the supply, with dust of at most one unit a holder; a nonce is used once (the handler replays).
contract EnergyInvariants is EnergyBase {
    EnergyHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new EnergyHandler(token);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory actions = new bytes4[](14);
        actions[0] = EnergyHandler.readMeter.selector;
        actions[1] = EnergyHandler.produceBatch.selector;
        actions[2] = EnergyHandler.claimOne.selector;
        actions[3] = EnergyHandler.claimAll.selector;
        actions[4] = EnergyHandler.moveShares.selector;
        actions[5] = EnergyHandler.moveEnergy.selector;
        actions[6] = EnergyHandler.issueShares.selector;
        actions[7] = EnergyHandler.pauseSource.selector;
        actions[8] = EnergyHandler.resetMeter.selector;
        actions[9] = EnergyHandler.replay.selector;
        actions[10] = EnergyHandler.mintByStranger.selector;
        actions[11] = EnergyHandler.mintMoreThanPower.selector;
        actions[12] = EnergyHandler.mintBackwards.selector;
        actions[13] = EnergyHandler.settleOthers.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), actions);
    }

    /// @dev One walk for all four: each would otherwise do the same calls again.
    function invariant_theBooksAgree() public view {
        mintedIsTheSumOfDifferences();
        everyUnitIsSomewhere();
        dustIsAtMostOneUnitAHolder();
        sharesAreFixed();
    }

    function mintedIsTheSumOfDifferences() private view {
        uint256 sum;
        for (uint64 s; s < handler.SOURCES(); ++s) {
            check(token.produced(s) == handler.accepted(s) * 1000, "by source");
            sum += handler.accepted(s) * 1000;
        }
        check(token.totalSupply() == sum, "in all");
    }

    function everyUnitIsSomewhere() private view {
        uint256 whole;
        uint256 parts; // in 2^-64 units
        for (uint256 i; i < handler.HOLDERS(); ++i) {
            address account = handler.holderAt(i);
            whole += token.balanceOf(account);
            for (uint64 s; s < handler.SOURCES(); ++s) {
                Position memory p = token.positionOf(s, account);
                parts += p.remainder;
                if (p.shares != 0) parts += uint256(p.shares) * (token.sourceOf(s).accumulated - p.paid);
            }
        }
        for (uint64 s; s < handler.SOURCES(); ++s) {
            whole += token.sourceOf(s).pending;
            parts += token.sourceOf(s).carry;
        }
        check(token.totalSupply() << 64 == (whole << 64) + parts, "to the last 2^-64");
    }

    function dustIsAtMostOneUnitAHolder() private view {
        uint256 found;
        for (uint64 s; s < handler.SOURCES(); ++s) {
            found += token.sourceOf(s).pending;
            for (uint256 i; i < handler.HOLDERS(); ++i) {
                found += token.claimable(s, handler.holderAt(i));
            }
        }
        for (uint256 i; i < handler.HOLDERS(); ++i) {
            found += token.balanceOf(handler.holderAt(i));
        }
        check(found <= token.totalSupply(), "nothing from nowhere");
        check(token.totalSupply() - found <= handler.SOURCES() * handler.HOLDERS(), "dust");
    }

    function sharesAreFixed() private view {
        for (uint64 s; s < handler.SOURCES(); ++s) {
            uint256 sum;
            for (uint256 i; i < handler.HOLDERS(); ++i) {
                sum += token.balanceOf(handler.holderAt(i), s);
            }
            check(sum == token.sourceOf(s).shares, "the sum stays");
        }
        check(token.sourceOf(0).shares == 7 && token.sourceOf(1).shares == 7 + 999_983, "as issued");
    }
}
