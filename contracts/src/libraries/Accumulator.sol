// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Production divided among any number of holders, in one word
/// @dev A source is `acc u128 | carry u64 | shares u64`, a position `paid u128 | rem u64 | shares u64`, both from the
/// high end. `acc` is what one share has earned so far, in units of 2^-64 token units. Every division keeps its
/// remainder (`carry`, `rem`), so that what is not yet paid out never grows with the number of divisions:
///
///     2^64 * (sum of w) = 2^64 * (sum of credits + pending) + sum of rem + sum of shares * (acc - paid) + carry
///
/// While no shares are out, `acc` has no other use and holds `pending`, the units produced so far.
library Accumulator {
    uint256 private constant MASK = type(uint64).max;

    /// @notice The word of a source after `w` more units, and whether it still fits.
    function produce(uint256 source, uint64 w) internal pure returns (uint256 word, bool fits) {
        uint256 shares = source & MASK;
        // Below 2^64 * 2^128 in every step: nothing wraps.
        unchecked {
            uint256 acc = source >> 128;
            if (shares == 0) {
                acc += w;
                return (acc << 128, acc <= MASK);
            }
            uint256 x = (uint256(w) << 64) + (source >> 64 & MASK);
            acc += x / shares;
            return (acc << 128 | (x % shares) << 64 | shares, acc <= type(uint128).max);
        }
    }

    /// @notice The word of a source without shares when its shares are issued: what waited is theirs.
    function issue(uint256 source, uint64 shares) internal pure returns (uint256) {
        uint256 x = (source >> 128) << 64;
        return (x / shares) << 128 | (x % shares) << 64 | shares;
    }

    /// @notice A position brought up to date, and the units that it has earned since the last time.
    /// @dev Only where the source has shares.
    function settle(uint256 source, uint256 position) internal pure returns (uint256 word, uint256 credit) {
        uint256 shares = position & MASK;
        // acc never falls and was copied to paid, so the difference is not negative; the product is below 2^192.
        unchecked {
            uint256 acc = source >> 128;
            uint256 y = shares * (acc - (position >> 128)) + (position >> 64 & MASK);
            return (acc << 128 | (y & MASK) << 64 | shares, y >> 64);
        }
    }

    /// @notice The shares in the word of a source or of a position.
    function sharesIn(uint256 word) internal pure returns (uint64) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(word);
    }

    /// @notice The middle field: `carry` of a source, `rem` of a position.
    function remainderIn(uint256 word) internal pure returns (uint64) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(word >> 64);
    }

    /// @notice The high field: `acc` or `pending` of a source, `paid` of a position.
    function highIn(uint256 word) internal pure returns (uint128) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint128(word >> 128);
    }
}
