// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Errors that all contracts of signed messages share
/// @dev The notices are shown to people by the generated bindings.
library CommonErrors {
    /// @notice The message's deadline has passed.
    error DeadlinePassed(uint40 deadline);

    /// @notice The account has already used this nonce.
    error NonceUsed(address account, uint256 nonce);

    /// @notice The signature is not one of the account that the message names.
    error WrongSigner(address account);

    /// @notice An address is zero that must not be.
    error ZeroAddress();

    /// @notice Too little gas is left to judge a message fairly. Send the transaction again with a higher gas limit.
    error InsufficientGas(uint256 left);
}
