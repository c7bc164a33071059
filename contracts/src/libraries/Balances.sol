// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { Member } from "../interfaces/IVault.sol";

/// @title The first slot of a member of a book, as one word
/// @dev `balance u88 | serial u32 | maxDebit u88 | lastPeriod u24 | untilPeriod u24`, from the low end: the fields of
/// `Member` as the compiler packs them. It would read and write them one after the other, which costs a netting 200 gas
/// for each member. What is allowed is decided here by functions of words alone, so that it can be proven.
library Balances {
    uint256 private constant MOST = type(uint88).max;
    uint256 private constant PERIOD = type(uint24).max;

    /// @notice The word after a netting took an amount, and whether mandate and balance cover that.
    /// @dev `amount` may be any number; `period` is below 2^24. Nothing wraps where `covered` is true.
    function debited(uint256 word, uint256 period, uint256 amount) internal pure returns (uint256 next, bool covered) {
        uint256 held = word & MOST;
        uint256 most = word >> 120 & MOST;
        uint256 last = word >> 208 & PERIOD;
        uint256 until = word >> 232;
        // The four conditions at once: one after the other they would cost each member a jump.
        assembly ("memory-safe") {
            covered := iszero(
                or(or(gt(amount, held), gt(amount, most)), or(iszero(gt(period, last)), gt(period, until)))
            )
        }
        unchecked {
            next = (word & ~(PERIOD << 208) | period << 208) - amount;
        }
    }

    /// @notice The word after an amount was added to the balance, and whether it fits.
    function credited(uint256 word, uint256 amount) internal pure returns (uint256 next, bool fits) {
        unchecked {
            fits = amount <= MOST - (word & MOST);
            next = word + amount;
        }
    }

    /// @notice A member's first slot.
    function read(Member storage member) internal view returns (uint256 word) {
        assembly ("memory-safe") {
            word := sload(member.slot)
        }
    }

    /// @notice Replaces a member's first slot.
    function write(Member storage member, uint256 word) internal {
        assembly ("memory-safe") {
            sstore(member.slot, word)
        }
    }
}
