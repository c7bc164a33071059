// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IMessenger } from "./IMessenger.sol";

/// @dev Signed by the account whose tokens are taken; credited to its book with the operator.
struct Deposit {
    address account;
    address operator;
    uint88 amount;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the account. Starts the wait.
struct Withdraw {
    address account;
    address operator;
    uint88 amount;
    uint256 nonce;
    uint40 deadline;
}

/// @dev An EIP-2612 permit for the vault to take the deposit.
struct PermitSignature {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @notice An account in the book of one operator. What a payment or a netting touches is in the first slot.
struct Member {
    uint88 balance;
    /// @dev Market: contracts paid. Net settlement: number of the newest mandate.
    uint32 serial;
    /// @dev Net settlement only: most that a period may take, last period taken, last period allowed.
    uint88 maxDebit;
    uint24 lastPeriod;
    uint24 untilPeriod;
    /// @dev Second slot.
    address account;
    /// @dev Market only: claims that are neither cured nor resolved.
    uint16 openClaims;
    /// @dev Third slot: on the way out, and when.
    uint88 pending;
    uint40 readyAt;
}

/// @title Vault
/// @notice Holds one token for the members of many operators, each in a book of its own. Money comes in by deposit and
/// goes out after a wait that is longer than any claim on it.
interface IVault is IMessenger {
    /// @notice The token that everything here is counted in.
    function token() external view returns (address);

    /// @notice Seconds between Withdraw and payout.
    function withdrawWait() external view returns (uint32);

    /// @notice Takes tokens from the account's wallet into its book.
    /// @dev Refuses a token that delivers less than it was asked to.
    function deposit(Deposit calldata m, bytes calldata sig) external;

    /// @notice The same, with the token's permit in the same call. A permit that was used already does no harm.
    function depositWithPermit(Deposit calldata m, bytes calldata sig, PermitSignature calldata permit) external;

    /// @notice Takes tokens from the caller's wallet into another account's book, to which they then belong.
    function depositFor(address operator, address account, uint88 amount) external;

    /// @notice Starts a withdrawal. A second one adds to the first and starts the wait anew.
    function withdraw(Withdraw calldata m, bytes calldata sig) external;

    /// @notice Pays out what has waited long enough, to the account itself. Anybody may call it.
    function takeOut(address operator, address account) external;

    /// @notice An account's entry in an operator's book; all zero where there is none.
    function memberOf(address operator, address account) external view returns (Member memory);

    /// @notice An account's number in an operator's book; zero where there is none. The operator is number 1.
    function numberOf(address operator, address account) external view returns (uint32);
}
