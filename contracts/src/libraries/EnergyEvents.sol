// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Events of the energy token
library EnergyEvents {
    /// @notice A source was registered. Its shares, if any, went to the owner.
    event SourceRegistered(
        uint64 indexed source,
        address indexed owner,
        address indexed device,
        uint64 initialCounter,
        uint48 maxPowerW,
        uint64 shares
    );

    /// @notice The shares of a source were issued after its registration.
    event SharesIssued(uint64 indexed source, address indexed owner, uint64 shares);

    /// @notice A source has another meter, counter or key. Up to `oldFinal` the old counter was minted.
    event MeterWasReset(
        uint64 indexed source,
        address indexed device,
        uint32 index,
        uint64 oldFinal,
        uint64 newInitial,
        uint48 maxPowerW
    );

    /// @notice The owner of a source or the registrar paused it, or ended the own pause.
    event SourcePauseSet(uint64 indexed source, address indexed account, bool paused);

    /// @notice A reading was taken. Minted were 1,000 times the watt-hours since the counter before.
    event Produced(uint64 indexed source, uint32 index, uint64 counterWh, uint40 meterTime);
}
