// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { NetState } from "../interfaces/INetSettlement.sol";
import { NET_PLACES } from "./MarketConstants.sol";

/// @title What state keeps of a netting, in one word
/// @dev `fingerprint u224 | demands u16 | round u16`, from the high end. An operator has `NET_PLACES` such words; a day
/// uses number `day % NET_PLACES`, again and again, because a word that is in use already costs a quarter of a new one.
/// `round` is `day / NET_PLACES`, so the word tells whose it is. Of an open batch the fingerprint is the first 28 bytes
/// of its hash (two that share them take 2^112 hashes to find), of one that ended it is how it ended.
library Places {
    uint256 private constant RELEASED = 1;
    uint256 private constant VOID = 2;
    uint256 private constant MOST_DEMANDS = type(uint16).max;

    /// @notice Whether a day's batch may be put where `word` is: nothing, or the ended batch of an earlier day.
    function isFree(uint256 word, uint256 period) internal pure returns (bool) {
        return word == 0 || (word >> 32 <= VOID && word & type(uint16).max < period / NET_PLACES);
    }

    /// @notice The word of a batch with this hash, without demands.
    function opened(bytes32 key, uint256 period) internal pure returns (uint256) {
        return uint256(key) >> 32 << 32 | period / NET_PLACES;
    }

    /// @notice Whether the word is that of this batch, open, with whatever number of demands.
    function isOpen(uint256 word, bytes32 key, uint256 period) internal pure returns (bool) {
        return word & ~(MOST_DEMANDS << 16) == opened(key, period);
    }

    /// @notice The word of a batch that ended.
    function ended(uint256 period, bool void) internal pure returns (uint256) {
        return (void ? VOID : RELEASED) << 32 | period / NET_PLACES;
    }

    /// @notice How many demands are open.
    function demandsIn(uint256 word) internal pure returns (uint256) {
        return word >> 16 & MOST_DEMANDS;
    }

    /// @notice The word with one more demand. A transaction has room for a few thousand debtors.
    function demanded(uint256 word) internal pure returns (uint256) {
        assert(demandsIn(word) < MOST_DEMANDS);
        return word + (1 << 16);
    }

    /// @notice The word with one demand less.
    function answered(uint256 word) internal pure returns (uint256) {
        return word - (1 << 16);
    }

    /// @notice What the word says of a day.
    function stateIn(uint256 word, uint256 period) internal pure returns (NetState) {
        if (word == 0 || word & type(uint16).max != period / NET_PLACES) return NetState.None;
        if (word >> 32 == RELEASED) return NetState.Released;
        return word >> 32 == VOID ? NetState.Void : NetState.Open;
    }
}
