// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IMessenger } from "./IMessenger.sol";

/// @dev Signed by the operator. `prev` is the head that it builds on, so it counts once and in its place.
struct Anchor {
    address operator;
    bytes32 prev;
    bytes32 root;
    uint32 count;
    uint40 deadline;
}

/// @dev Signed by the account: `key` signs messages of the anchored lane in its name, for uses in `scope`, until then.
/// A time that has passed ends the right.
struct Delegate {
    address account;
    address key;
    uint32 scope;
    uint40 until;
    uint256 nonce;
    uint40 deadline;
}

/// @notice When a key stands for an account.
struct Delegation {
    uint40 since;
    uint40 until;
}

/// @title Anchors
/// @notice The lane for messages that need order, time and proof only: one Merkle root for each batch, chained by
/// `head = keccak256(head, root)`, one chain for each operator. The bodies stay with whoever holds them.
interface IAnchors is IMessenger {
    /// @notice Anchors a root and moves the operator's head in state.
    function anchor(Anchor calldata m, bytes calldata sig) external;

    /// @notice Anchors a root of the caller in the log alone, which costs a state write less.
    /// @dev Nobody checks `prev` here: whoever follows the log does. Two roots on one head are the caller's own proof
    /// of having forked, and `checkpoint` can take one of them only.
    function anchorLog(bytes32 prev, bytes32 root, uint32 count) external;

    /// @notice Moves the caller's head in state over roots that were anchored in the log, oldest first.
    function checkpoint(bytes32[] calldata roots) external;

    /// @notice Lets a key sign for an account in the anchored lane, prolongs that, or ends it.
    /// @dev A right that has ended does not come back: what the key signed in between would become valid afterwards.
    function delegate(Delegate calldata m, bytes calldata sig) external;

    /// @notice The operator's head in state; zero before the first.
    function headOf(address operator) external view returns (bytes32);

    /// @notice Whether a leaf is in a root that is part of the operator's chain up to its head in state.
    /// @param prev The head before the root.
    /// @param later The roots after it, oldest first.
    function isAnchored(
        address operator,
        bytes32 prev,
        bytes32 root,
        bytes32[] calldata later,
        bytes32 leaf,
        bytes32[] calldata path
    ) external view returns (bool);

    /// @notice Whether a key stands for an account at a time, for a use.
    function isDelegate(address account, address key, uint32 scope, uint40 time) external view returns (bool);

    /// @notice Since when and until when a key stands for an account.
    function delegationOf(address account, address key, uint32 scope) external view returns (Delegation memory);
}
