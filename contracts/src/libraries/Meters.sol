// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { Meter } from "../interfaces/IEnergyToken.sol";
import { EnergyErrors } from "./EnergyErrors.sol";

/// @title One word for what is known of a meter
/// @dev `counterWh u64 | index u32 | meterTime u40 | seenAt u40 | maxPowerW u48 | pauses u8 | 1`, from the low end. The
/// last bit is set for every registered meter, so zero means "no such meter".
library Meters {
    uint256 private constant LIVE = 1 << 232;
    uint256 private constant SECONDS_PER_HOUR = 3600;

    /// @dev How far a meter's clock may be ahead of the chain's.
    uint256 internal constant CLOCK_AHEAD = 15 minutes;

    /// @dev Token units (milliwatt-hours) in a watt-hour.
    uint256 internal constant UNITS_PER_WH = 1000;

    /// @notice The word of a meter.
    function pack(Meter memory m) internal pure returns (uint256) {
        return uint256(m.counterWh) | uint256(m.index) << 64 | uint256(m.meterTime) << 96 | uint256(m.seenAt) << 136
            | uint256(m.maxPowerW) << 176 | uint256(m.pauses) << 224 | LIVE;
    }

    /// @notice The meter in a word.
    /// @dev Each cast keeps exactly the field's bits.
    function unpack(uint256 word) internal pure returns (Meter memory m) {
        // forge-lint: disable-start(unsafe-typecast)
        m.counterWh = uint64(word);
        m.index = uint32(word >> 64);
        m.meterTime = uint40(word >> 96);
        m.seenAt = uint40(word >> 136);
        m.maxPowerW = uint48(word >> 176);
        m.pauses = uint8(word >> 224);
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @notice The word with other pauses.
    function withPauses(uint256 word, uint8 pauses) internal pure returns (uint256) {
        return word & ~(uint256(0xff) << 224) | uint256(pauses) << 224;
    }

    /// @notice Who paused the meter: 1 the owner, 2 the registrar, 3 both, 0 nobody.
    function pausesIn(uint256 word) internal pure returns (uint8) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint8(word >> 224);
    }

    /// @notice Reads a meter: the word after a reading and the units to mint, or the selector of what is wrong.
    /// @dev `packed` is a reading as `submitReadings` takes it: `source u64 | index u32 | counterWh u64 | meterTime u40`.
    function advance(uint256 word, uint256 packed) internal view returns (uint256 next, uint64 minted, bytes4 code) {
        // forge-lint: disable-start(unsafe-typecast)
        if (word == 0) return (0, 0, EnergyErrors.NotTheDevice.selector);
        if (pausesIn(word) != 0) return (0, 0, EnergyErrors.SourcePaused.selector);
        if (uint32(packed >> 104) <= uint32(word >> 64)) return (0, 0, EnergyErrors.IndexNotNewer.selector);
        uint256 time = uint40(packed);
        if (time <= uint40(word >> 96) || time > block.timestamp + CLOCK_AHEAD) {
            return (0, 0, EnergyErrors.MeterTimeOutOfRange.selector);
        }
        uint256 counter = uint64(packed >> 40);
        if (counter < uint64(word)) return (0, 0, EnergyErrors.CounterDecreased.selector);
        (minted, code) = gain(word, counter);
        next = word & ~uint256(type(uint176).max) | counter | uint256(uint32(packed >> 104)) << 64 | time << 96
            | block.timestamp << 136;
        // forge-lint: disable-end(unsafe-typecast)
    }

    /// @notice The units between a meter's last counter and this one, not below it, or the selector of what is wrong.
    /// @dev The meter's power bounds what a stolen key can mint, by the chain's clock and not the meter's own.
    function gain(uint256 word, uint256 counter) internal view returns (uint64 minted, bytes4 code) {
        // forge-lint: disable-start(unsafe-typecast)
        // Below 2^64 * 2^12, and 2^48 * 2^40: nothing wraps. Time does not run backwards.
        unchecked {
            uint256 wattHours = counter - uint64(word);
            uint256 elapsed = block.timestamp - uint40(word >> 136);
            if (wattHours * SECONDS_PER_HOUR > uint48(word >> 176) * elapsed) {
                return (0, EnergyErrors.PowerExceeded.selector);
            }
            if (wattHours * UNITS_PER_WH > type(uint64).max) return (0, EnergyErrors.TooMuchEnergy.selector);
            return (uint64(wattHours * UNITS_PER_WH), 0);
        }
        // forge-lint: disable-end(unsafe-typecast)
    }
}
