// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What the contracts have in common that act on signed messages
/// @dev A signature argument is 65 bytes `r || s || v`, or whatever the account's EIP-1271 code takes, or empty, which
/// means "the caller is that account". A revert leaves nothing behind: a refused message may succeed until its deadline.
interface IMessenger {
    /// @notice Takes many calls of this contract's own functions. One that is refused emits `Rejected` and changes
    /// nothing.
    /// @dev Reverts as a whole, with InsufficientGas, when a call might have failed for want of gas.
    function batch(bytes[] calldata calls) external;

    /// @notice The EIP-712 digest of the message in a call; the hash of the call where it carries none.
    function digestOf(bytes calldata call) external view returns (bytes32);

    /// @notice Whether an account has used a nonce.
    function nonceUsed(address account, uint256 nonce) external view returns (bool);
}
