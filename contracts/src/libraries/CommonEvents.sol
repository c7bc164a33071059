// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Events that all contracts of signed messages share
library CommonEvents {
    /// @notice An item of a batch was refused.
    /// @param digest The EIP-712 digest of the message, or the keccak256 of the item where it cannot be decoded.
    /// @param code Selector of the error that it would have reverted with; zero where it cannot be decoded.
    event Rejected(bytes32 indexed digest, bytes4 code);
}
