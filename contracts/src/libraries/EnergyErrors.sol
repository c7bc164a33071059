// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Errors of the energy token
/// @dev The notices are shown to people by the generated bindings.
library EnergyErrors {
    /// @notice A source of this number exists already.
    error SourceExists(uint64 source);

    /// @notice No such source is registered.
    error SourceUnknown(uint64 source);

    /// @notice The account does not own the source.
    error NotSourceOwner(uint64 source, address account);

    /// @notice The account is neither the owner of the source nor the registrar.
    error NotInCharge(uint64 source, address account);

    /// @notice The shares of this source are issued already, or none are to be issued.
    error SharesFixed(uint64 source);

    /// @notice The signature is not one of the source's present device.
    error NotTheDevice(uint64 source);

    /// @notice The source is paused by its owner or the registrar.
    error SourcePaused(uint64 source);

    /// @notice The index of a reading must be above that of the last one.
    error IndexNotNewer(uint64 source);

    /// @notice The time of a reading must be after that of the last one and at most 15 minutes ahead.
    error MeterTimeOutOfRange(uint64 source);

    /// @notice A counter must not fall. A new meter or a rollover needs a reset.
    error CounterDecreased(uint64 source);

    /// @notice The meter counted more than its power allows since the last reading was taken. Send it again later.
    error PowerExceeded(uint64 source);

    /// @notice The source has produced more than can be accounted for.
    error TooMuchEnergy(uint64 source);

    /// @notice The bytes of the batch end in the middle of a reading.
    error TruncatedReading(uint256 offset);
}
