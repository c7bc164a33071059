// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Events of the market, of net settlement and of anchors
library MarketEvents {
    /// @notice An account has a book with an operator, under a number.
    event Enrolled(address indexed operator, address indexed account, uint32 number);

    /// @notice Tokens came in.
    event Deposited(address indexed operator, address indexed account, uint88 amount);

    /// @notice Tokens are on the way out; `pending` is all that is.
    event WithdrawalStarted(address indexed operator, address indexed account, uint88 pending, uint40 readyAt);

    /// @notice Tokens went out.
    event TakenOut(address indexed operator, address indexed account, uint88 amount);

    /// @notice Terms were published.
    event TermsPublished(bytes32 indexed terms, address indexed operator);

    /// @notice A contract was made. `contractOf` has the times of its delivery.
    event Matched(
        bytes32 indexed contractId,
        address indexed seller,
        address indexed buyer,
        bytes32 offer,
        bytes32 request,
        uint64 wh,
        uint88 price,
        uint88 amount,
        bool escrowed
    );

    /// @notice An account takes an order back; what is filled stays filled.
    event OrderCancelled(address indexed account, bytes32 indexed order);

    /// @notice A contract ended before delivery. `fee` went from `by` to the other partner.
    event ContractCancelled(bytes32 indexed contractId, address indexed by, uint88 fee);

    /// @notice A partner reported what was delivered.
    event Provisioned(bytes32 indexed contractId, address indexed account, uint64 wh);

    /// @notice It is settled what was delivered and what is owed for it.
    event Delivered(bytes32 indexed contractId, uint64 wh, uint88 due);

    /// @notice A contract was paid in full.
    event Paid(bytes32 indexed contractId, uint88 amount);

    /// @notice The seller confirmed the payment.
    event Confirmed(bytes32 indexed contractId);

    /// @notice The seller reminded the buyer.
    event Reminded(bytes32 indexed contractId, uint8 number);

    /// @notice The seller claims `owed`, of which `held` is secured.
    event ClaimIssued(bytes32 indexed contractId, uint88 owed, uint88 held, bytes32 evidence);

    /// @notice The debtor paid the claim.
    event ClaimCured(bytes32 indexed contractId, uint88 amount);

    /// @notice The debtor contests the claim.
    event Disputed(bytes32 indexed contractId, bytes32 reason);

    /// @notice A dispute ended with this to pay, penalty included.
    event Ruled(bytes32 indexed contractId, uint88 owed);

    /// @notice The seller got this of a claim; `left` is still owed.
    event Collected(bytes32 indexed contractId, uint88 amount, uint88 left);

    /// @notice An owner allows an account to draw on the owner's wallet.
    event Allowed(
        address indexed owner,
        address indexed account,
        address operator,
        uint88 perDay,
        uint88 perContract,
        uint40 until
    );

    /// @notice A contract was funded from the owner's wallet.
    event Funded(bytes32 indexed contractId, address indexed owner, uint88 amount);

    /// @notice A root was anchored; `head` is the operator's head after it.
    event Anchored(address indexed operator, bytes32 head, bytes32 root, uint32 count);

    /// @notice The operator's head in state moved over roots in the log.
    event Checkpointed(address indexed operator, bytes32 head);

    /// @notice A key stands for an account.
    event Delegated(address indexed account, address indexed key, uint32 scope, uint40 since, uint40 until);

    /// @notice An account's mandate for netting changed.
    event MandateSet(
        address indexed operator, address indexed account, uint88 maxDebit, uint40 validUntil, uint32 nonce
    );

    /// @notice A batch was netted: debits are taken, credits wait. Entries as they were given.
    event NetSettled(
        address indexed operator, uint24 indexed period, bytes32 root, uint88 total, bytes debits, bytes credits
    );

    /// @notice The credits of a batch were paid.
    event NetReleased(address indexed operator, uint24 indexed period);

    /// @notice A batch was void: debits are back, and the operator's deposit went to `debtor`.
    event NetVoided(address indexed operator, uint24 indexed period, address indexed debtor, uint88 fine);

    /// @notice A debtor asks for the lines behind its debit.
    event LinesDemanded(address indexed operator, uint24 indexed period, uint32 member, uint40 until);

    /// @notice The operator showed the lines behind a debit.
    event LinesShown(address indexed operator, uint24 indexed period, uint32 member);
}
