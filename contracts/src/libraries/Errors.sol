// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Errors of the consent registry, beside those in `CommonErrors`
/// @dev The notices are shown to people by the generated bindings.
library Errors {
    /// @notice A stream of this owner and name exists already.
    error StreamExists(bytes32 sid);

    /// @notice No such stream is registered.
    error StreamUnknown(bytes32 sid);

    /// @notice The account does not own the stream.
    error NotStreamOwner(bytes32 sid, address account);

    /// @notice The stream has no writer now.
    error NoWriter(bytes32 sid);

    /// @notice A commit must carry the epoch after the newest one.
    error EpochNotNext(bytes32 sid, uint64 expected, uint64 given);

    /// @notice A stream's slots must last at least one second.
    error ZeroSlot();

    /// @notice The start of a grant must lie before its end.
    error EmptyInterval(uint40 start, uint40 end);

    /// @notice A grant must name at least one stream.
    error NoStreams();

    /// @notice A grant names the same stream twice.
    error StreamTwice(bytes32 sid);

    /// @notice A grant may not start before the stream came to its present owner.
    error StartBeforeTransfer(bytes32 sid, uint40 start, uint40 transferredAt);

    /// @notice The account is neither owner nor reader of the grant.
    error NotParty(bytes32 grantId, address account);

    /// @notice The grant does not stand for this stream: unknown, ended or revoked.
    error GrantNotStanding(bytes32 grantId, bytes32 sid);

    /// @notice The device hash does not open to this owner, device and salt.
    error WrongDeviceHash(bytes32 deviceHash);

    /// @notice This pairing exists already.
    error AlreadyPaired(bytes32 deviceHash);

    /// @notice The account is not one of the two sides of this pairing.
    error NotPaired(bytes32 deviceHash, address account);

    /// @notice A stream cannot be transferred to its present owner.
    error SameOwner(bytes32 sid);

    /// @notice The stream has been transferred as often as the registry can count.
    error TooManyTransfers(bytes32 sid);

    /// @notice What a batch carries must be a call that brings a message.
    error UnknownCall(bytes4 selector);
}
