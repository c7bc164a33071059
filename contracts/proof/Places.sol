// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Places } from "../src/libraries/Places.sol";

/// @dev The record of a netting. Days up to the year 7711, and hashes that do not begin with 222 zero bits.
contract PlacesProof {
    uint256 private constant DAYS = 1 << 21;

    function isHash(bytes32 key, uint256 period) private pure returns (bool) {
        return uint256(key) >> 32 > 2 && period < DAYS;
    }

    function check_anOpenBatchIsNotWrittenOver(bytes32 key, uint24 period, uint24 other, uint16 demands) public pure {
        if (!isHash(key, period)) return;
        uint256 word = Places.opened(key, period) | uint256(demands) << 16;
        assert(!Places.isFree(word, other));
    }

    function check_onlyTheBatchItselfIsOpen(
        bytes32 key,
        bytes32 other,
        uint24 period,
        uint24 otherPeriod,
        uint16 demands
    ) public pure {
        if (period >= DAYS || otherPeriod >= DAYS) return;
        uint256 word = Places.opened(key, period) | uint256(demands) << 16;
        assert(Places.isOpen(word, key, period) && Places.demandsIn(word) == demands);
        if (Places.isOpen(word, other, otherPeriod)) {
            assert(uint256(key) >> 32 == uint256(other) >> 32 && period / 32 == otherPeriod / 32);
        }
    }

    /// @dev No day is settled twice, although records are used again.
    function check_anEndedDayStaysClosed(uint24 period, uint24 other, bool void) public pure {
        if (period >= DAYS || other >= DAYS || other % 32 != period % 32) return;
        uint256 word = Places.ended(period, void);
        assert(Places.isFree(word, other) == (other > period));
    }

    function check_whatEndedIsNotOpen(uint24 period, uint24 other, bool void, bytes32 key) public pure {
        if (!isHash(key, other) || period >= DAYS) return;
        assert(!Places.isOpen(Places.ended(period, void), key, other));
    }
}
