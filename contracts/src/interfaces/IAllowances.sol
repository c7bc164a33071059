// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IMessenger } from "./IMessenger.sol";

/// @dev The owner lets an asset's account draw on the owner's wallet, for contracts only. Replaces the one before;
/// `perDay = 0` revokes. `nonce` must be greater than the last.
struct Allowance {
    address owner;
    address account;
    address operator;
    uint88 perDay;
    uint88 perContract;
    uint40 validUntil;
    uint32 nonce;
    uint40 deadline;
}

/// @notice What an owner allows an account, and what of it is spent on which day since 1970 (UTC).
struct Funding {
    uint88 perDay;
    uint88 perContract;
    uint32 nonce;
    uint40 validUntil;
    uint88 spent;
    uint24 day;
}

/// @title Allowances
/// @notice Funds contracts of a market from the wallet of an asset's owner, within caps that the owner signed. An asset
/// whose key is stolen costs its owner no more than that.
/// @dev The owner approves this contract in the token; what it approves is a second cap.
interface IAllowances is IMessenger {
    /// @notice The market whose contracts are funded.
    function market() external view returns (address);

    /// @notice Records an allowance.
    function allow(Allowance calldata m, bytes calldata sig) external;

    /// @notice Brings the account's balance up to what a delivered contract costs, or up to what a claim against it still
    /// lacks. Anybody may call it.
    function fund(address owner, address operator, address account, bytes32 contractId) external;

    /// @notice What an owner allows an account, and what is spent.
    function fundingOf(address owner, address operator, address account) external view returns (Funding memory);

    /// @notice What was drawn from an owner's wallet for a contract so far, in minor units. `perContract` caps this sum.
    function drawnFor(address owner, address operator, bytes32 contractId) external view returns (uint88);
}
