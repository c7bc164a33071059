// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Meters } from "../src/libraries/Meters.sol";

interface Clock {
    function warp(uint256 time) external;
}

/// @dev a reading mints counterWh minus last x 1,000, its index and time are newer, a paused or unknown meter
/// mints nothing, and the power binds.
contract ReadingsProof {
    Clock private constant VM = Clock(address(uint160(uint256(keccak256("hevm cheat code")))));

    function check_aReadingMintsItsDifference(uint256 word, uint256 packed, uint40 time) public {
        VM.warp(time);
        (uint256 next, uint64 minted, bytes4 code) = Meters.advance(word, packed);
        if (code != 0) {
            assert(minted == 0);
            return;
        }
        assert(uint64(next) == uint64(packed >> 40) && uint64(next) >= uint64(word));
        assert(minted == (uint256(uint64(next)) - uint64(word)) * 1_000);
        assert(uint32(next >> 64) > uint32(word >> 64) && uint40(next >> 96) > uint40(word >> 96));
        assert(uint40(next >> 96) <= uint256(time) + 15 minutes && uint40(next >> 136) == time);
        // Power, pauses and the mark of a registered meter stay; a meter that is not registered or paused got nowhere.
        assert(next >> 176 == word >> 176 && word != 0 && Meters.pausesIn(word) == 0);
    }

    function check_noMoreThanThePower(uint256 word, uint64 counter, uint40 time) public {
        if (time < uint40(word >> 136) || counter < uint64(word)) return;
        VM.warp(time);
        (uint64 minted, bytes4 code) = Meters.gain(word, counter);
        if (code != 0) return;
        uint256 wattHours = uint256(counter) - uint64(word);
        assert(minted == wattHours * 1_000);
        assert(wattHours * 3_600 <= uint256(uint48(word >> 176)) * (time - uint40(word >> 136)));
    }
}
