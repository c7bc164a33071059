// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Signed messages that anybody may bring
/// @notice What the contracts have in common: nonces without order, and batches of messages by many signers.
/// @dev A signature argument is 65 bytes `r || s || v`, or whatever the account's EIP-1271 code takes, or empty, which
/// means "the caller is that account". A revert leaves nothing behind, so a refused message may succeed later, until
/// its deadline.
/// @dev Warning: messages signed for a contract count on every chain with the same chain id, forks included.
interface ISignedMessages {
    /// @notice Takes many messages of many signers. One that is refused emits `Rejected` and changes nothing.
    /// @dev Reverts as a whole, with InsufficientGas, when an item might have failed for want of gas: whoever brings
    /// the batch must not be able to have a good message refused.
    /// @param items Each the calldata of one of this contract's functions for a message.
    function batch(bytes[] calldata items) external;

    /// @notice Whether an account has used a nonce.
    function nonceUsed(address account, uint256 nonce) external view returns (bool);

    /// @notice The EIP-712 digest of the message in an item of a batch.
    function digestOf(bytes calldata item) external view returns (bytes32);
}
