// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IEnergyToken } from "../interfaces/IEnergyToken.sol";

/// @title EIP-712 types of the energy token's messages
/// @dev All are structs of value types, which hash as the type hash followed by the ABI encoding: the first words of the
/// calldata of the function that takes the message.
library EnergyMessages {
    bytes32 internal constant REGISTER_SOURCE = keccak256(
        "RegisterSource(uint64 source,address owner,address device,uint64 initialCounter,uint48 maxPowerW,uint64 shares,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant ISSUE_SHARES =
        keccak256("IssueShares(address owner,uint64 source,uint64 shares,uint256 nonce,uint40 deadline)");
    bytes32 internal constant METER_RESET = keccak256(
        "MeterReset(uint64 source,address owner,address device,uint32 index,uint64 oldFinal,uint64 newInitial,uint48 maxPowerW,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant PAUSE_SOURCE =
        keccak256("PauseSource(address account,uint64 source,bool paused,uint256 nonce,uint40 deadline)");
    bytes32 internal constant READING =
        keccak256("Reading(uint64 source,uint32 index,uint64 counterWh,uint40 meterTime)");
    bytes32 internal constant TRANSFER_SHARES = keccak256(
        "TransferShares(address holder,address receiver,uint64 source,uint64 shares,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant CLAIM_ENERGY = keccak256("ClaimEnergy(address holder,uint64 source)");

    /// @notice The digest of a packed reading (see `Meters.advance`) under a domain separator.
    /// @dev Readings come by the hundred: hashed where free memory begins, which stays free.
    function readingDigest(bytes32 domain, uint256 packed) internal pure returns (bytes32 digest) {
        bytes32 typeHash = READING;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            mstore(add(free, 0x20), and(shr(136, packed), 0xffffffffffffffff))
            mstore(add(free, 0x40), and(shr(104, packed), 0xffffffff))
            mstore(add(free, 0x60), and(shr(40, packed), 0xffffffffffffffff))
            mstore(add(free, 0x80), and(packed, 0xffffffffff))
            let structHash := keccak256(free, 0xa0)
            mstore(free, hex"1901")
            mstore(add(free, 0x02), domain)
            mstore(add(free, 0x22), structHash)
            digest := keccak256(free, 0x42)
        }
    }

    /// @notice The type hash and the number of fields of the message that a function takes; zero for other functions.
    function typeOf(bytes4 selector) internal pure returns (bytes32 typeHash, uint256 words) {
        if (selector == IEnergyToken.mintReading.selector) return (READING, 4);
        if (selector == IEnergyToken.transferShares.selector) return (TRANSFER_SHARES, 6);
        if (selector == IEnergyToken.claimEnergy.selector) return (CLAIM_ENERGY, 2);
        if (selector == IEnergyToken.pauseSource.selector) return (PAUSE_SOURCE, 5);
        if (selector == IEnergyToken.registerSource.selector) return (REGISTER_SOURCE, 8);
        if (selector == IEnergyToken.resetMeter.selector) return (METER_RESET, 9);
        if (selector == IEnergyToken.issueShares.selector) return (ISSUE_SHARES, 5);
        return (0, 0);
    }
}
