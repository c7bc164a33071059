// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Accumulator } from "../src/libraries/Accumulator.sol";

/// @dev index accounting for two holders. Where production is divided, the shares are a power of two:
/// no solver decides within minutes that quotient and remainder of 128 bits by another number make up the whole. Fuzz
/// tests draw any shares there; all else here is for any.
contract SharesProof {
    /// @dev Nothing is lost and nothing made: w and what was carried is what every share got, and the new carry.
    function produced(uint64 shares, uint64 carry, uint64 w) private pure {
        if (carry >= shares) return;
        (uint256 word, bool fits) = Accumulator.produce(uint256(carry) << 64 | shares, w);
        assert(fits && Accumulator.remainderIn(word) < shares && Accumulator.sharesIn(word) == shares);
        unchecked {
            uint256 each = word >> 128;
            assert(each * shares + Accumulator.remainderIn(word) == (uint256(w) << 64) + carry);
        }
    }

    function check_productionIsConserved_one(uint64 carry, uint64 w) public pure {
        produced(1, carry, w);
    }

    function check_productionIsConserved_eight(uint64 carry, uint64 w) public pure {
        produced(8, carry, w);
    }

    function check_productionIsConserved_million(uint64 carry, uint64 w) public pure {
        produced(1 << 20, carry, w);
    }

    /// @dev What was earned before changes nothing in what is earned now, for any number of shares.
    function check_productionAddsUp(uint128 acc, uint64 carry, uint64 shares, uint64 w) public pure {
        if (shares == 0) return;
        uint256 low = uint256(carry) << 64 | shares;
        (uint256 word, bool fits) = Accumulator.produce(uint256(acc) << 128 | low, w);
        if (!fits) return;
        (uint256 alone,) = Accumulator.produce(low, w);
        assert(word << 128 == alone << 128);
        unchecked {
            assert((word >> 128) - acc == alone >> 128);
        }
    }

    /// @dev One holder of any number of shares: credit and remainder are exactly what they earned since the last time.
    /// The product is of 64 and 128 bits: it does not wrap.
    function check_aClaimPaysWhatWasEarned(uint64 shares, uint128 acc, uint128 paid, uint64 rem) public pure {
        if (paid > acc) return;
        uint256 position = uint256(paid) << 128 | uint256(rem) << 64 | shares;
        (uint256 word, uint256 credit) = Accumulator.settle(uint256(acc) << 128 | shares, position);
        unchecked {
            uint256 earned = uint256(shares) * (uint256(acc) - paid) + rem;
            assert((credit << 64) + Accumulator.remainderIn(word) == earned);
        }
        assert(word >> 128 == acc && Accumulator.sharesIn(word) == shares);
    }

    /// @dev Claiming twice is claiming once.
    function check_noSecondClaim(uint128 acc, uint128 paid, uint64 rem, uint64 shares) public pure {
        if (paid > acc) return;
        uint256 source = uint256(acc) << 128 | shares;
        (uint256 word,) = Accumulator.settle(source, uint256(paid) << 128 | uint256(rem) << 64 | shares);
        (uint256 same, uint256 credit) = Accumulator.settle(source, word);
        assert(same == word && credit == 0);
    }

    /// @dev Two holders of three and five shares: what they are paid for one reading, with all remainders, is the reading.
    function check_long_twoHoldersShareAReading(uint64 carry, uint64 w, uint64 remA, uint64 remB) public pure {
        if (carry >= 8) return;
        (uint256 word, bool fits) = Accumulator.produce(uint256(carry) << 64 | 8, w);
        if (!fits) return;
        (uint256 a, uint256 creditA) = Accumulator.settle(word, uint256(remA) << 64 | 3);
        (uint256 b, uint256 creditB) = Accumulator.settle(word, uint256(remB) << 64 | 5);
        uint256 paid = (creditA + creditB) << 64;
        uint256 kept = uint256(Accumulator.remainderIn(a)) + Accumulator.remainderIn(b) + Accumulator.remainderIn(word);
        assert(paid + kept == (uint256(w) << 64) + carry + remA + remB);
    }

    /// @dev Without shares all of it waits, and the first holder gets it.
    function check_whatWaitsIsNotLost(uint64 before, uint64 w) public pure {
        (uint256 word, bool fits) = Accumulator.produce(uint256(before) << 128, w);
        if (!fits) return;
        assert(Accumulator.highIn(word) == uint256(before) + w);
        (, uint256 credit) = Accumulator.settle(Accumulator.issue(word, 8), 8);
        assert(credit == uint256(before) + w);
    }
}
