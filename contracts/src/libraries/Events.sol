// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Events of the consent registry
library Events {
    /// @notice A stream was registered.
    event StreamRegistered(
        bytes32 indexed sid,
        address indexed owner,
        address indexed writer,
        bytes32 nameHash,
        bytes32 streamKeyHash,
        uint40 genesis,
        uint32 slotSeconds
    );

    /// @notice A stream has another writer. Writer and key are zero when an unpairing ended the right.
    event WriterSet(bytes32 indexed sid, address indexed writer, bytes32 streamKeyHash);

    /// @notice An owner and a device are paired.
    event DevicePaired(address indexed owner, bytes32 indexed deviceHash, address device);

    /// @notice A pairing has ended.
    event DeviceUnpaired(address indexed owner, bytes32 indexed deviceHash);

    /// @notice A grant was recorded. It counts unless owner or reader revoked it, before or after.
    event Granted(
        bytes32 indexed grantId,
        address indexed owner,
        address indexed reader,
        bytes32 readerKeyHash,
        bytes32 textHash,
        uint256 terms,
        bytes32[] sids
    );

    /// @notice An account revoked a grant for one stream, or for all (`sid = 0`). Anybody can have this emitted for a
    /// grant that is not known: it counts only if the account is the grant's owner or reader.
    event Revoked(bytes32 indexed grantId, address indexed account, bytes32 indexed sid);

    /// @notice The reader of a grant has another key.
    event KeyRegistered(bytes32 indexed grantId, bytes32 readerKeyHash);

    /// @notice The writer of a stream committed to an epoch.
    event Committed(bytes32 indexed sid, uint64 epoch, bytes32 commitHash);

    /// @notice A stream has another owner; all grants of the former have ended.
    event StreamTransferred(bytes32 indexed sid, address indexed owner, address indexed newOwner);
}
