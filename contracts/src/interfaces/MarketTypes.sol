// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

// Messages and state of the market. Field order is the order of the EIP-712 types in `MarketMessages`. Energy is in Wh,
// money in minor units of the market's token, prices in minor units per kWh, times in seconds UTC. `deadline` is the
// last second in which a message is accepted. Messages without `nonce` are used up by the state that they change: a
// contract passes each state once.

/// @dev What an operator's market promises. Published by anybody, identified by its hash, named in every order: so both
/// sides and the operator agree on it. Waits in seconds; `penaltyBps` and `cancelBps` in 1/10,000 of the amount.
struct Terms {
    address operator;
    address arbiter;
    uint32 startGrace;
    uint32 provisionGrace;
    uint32 paymentDue;
    uint32 reminderEvery;
    uint32 disputeWindow;
    uint32 rulingWindow;
    uint16 penaltyBps;
    uint16 cancelBps;
    bool escrow;
}

/// @dev An Offer or a Request: the same fields under two EIP-712 types. `price` is the lowest that an offer takes, the
/// highest that a request pays. `partner = 0`: anybody. `device = 0`: no meter whose counters may decide.
struct Order {
    address account;
    address operator;
    bytes32 terms;
    address partner;
    address device;
    uint64 wh;
    uint88 price;
    uint40 start;
    uint40 end;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the operator that both orders name. Its digest is the contract's id.
struct Match {
    address operator;
    bytes32 offer;
    bytes32 request;
    uint64 wh;
    uint88 price;
    uint40 start;
    uint40 end;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the account of an order (`id` is its digest), or by a partner of a contract.
struct Cancel {
    address account;
    address operator;
    bytes32 id;
    uint40 deadline;
}

/// @dev What was delivered, by the word of one partner.
struct Provision {
    address account;
    address operator;
    bytes32 contractId;
    uint64 wh;
    uint40 deadline;
}

/// @dev An absolute counter, signed by the meter itself.
struct Counter {
    address device;
    uint64 counterWh;
    uint40 meterTime;
}

/// @dev Two counters of a device named in an order of the contract, at the start and at the end of the delivery.
struct Evidence {
    bool ofSeller;
    Counter first;
    Counter last;
    bytes firstSig;
    bytes lastSig;
}

/// @dev Pays contracts in full. `amount` is their sum, so that the signer knows what is paid.
struct Payment {
    address payer;
    address operator;
    bytes32[] contracts;
    uint88 amount;
    bool fromWallet;
    uint40 deadline;
}

/// @dev The seller has seen the payment.
struct Confirm {
    address account;
    address operator;
    bytes32 contractId;
    uint40 deadline;
}

/// @dev The seller's reminder `number` 1, 2 or 3.
struct Remind {
    address account;
    address operator;
    bytes32 contractId;
    uint8 number;
    uint40 deadline;
}

/// @dev The seller claims what was not paid after three reminders. `evidence` is the hash of what it shows off chain.
struct IssueClaim {
    address account;
    address operator;
    bytes32 contractId;
    bytes32 evidence;
    uint40 deadline;
}

/// @dev The debtor pays a claim from its escrow.
struct Cure {
    address account;
    address operator;
    bytes32 contractId;
    uint40 deadline;
}

/// @dev The debtor contests a claim. `reason` is the hash of what it shows off chain.
struct Dispute {
    address account;
    address operator;
    bytes32 contractId;
    bytes32 reason;
    uint40 deadline;
}

/// @dev The arbiter of the terms says how much was delivered.
struct Ruling {
    address arbiter;
    address operator;
    bytes32 contractId;
    uint64 wh;
    uint40 deadline;
}

/// @dev In which state a contract is. Every transition has one state that it starts from.
enum State {
    None,
    Matched,
    Reported,
    Contested,
    Delivered,
    Paid,
    Confirmed,
    Claimed,
    Disputed,
    Cured,
    Resolved,
    Cancelled
}

/// @dev A contract, packed so that a payment reads and writes the first slot only.
struct Trade {
    /// @dev Numbers of the partners in the operator's book.
    uint32 buyer;
    uint32 seller;
    /// @dev What is owed: by contract, after delivery by what was delivered, in a claim with the penalty.
    uint88 due;
    State state;
    uint8 reminders;
    /// @dev Time of the last step that a wait counts from.
    uint40 mark;
    /// @dev Thousandths of a minor unit that earlier fills of the offer left over.
    uint16 carry;
    /// @dev `due` was taken out of the buyer's balance when the contract was made.
    bool escrowed;
    /// @dev A dispute was decided; there is no second.
    bool ruled;
    uint64 wh;
    uint88 price;
    uint40 start;
    uint40 end;
    uint24 terms;
    /// @dev The first report; after delivery what counts as delivered.
    uint64 firstWh;
    uint64 otherWh;
    /// @dev Taken from the debtor for a claim.
    uint88 held;
    bool firstBySeller;
    /// @dev The seller's report stood without an answer.
    bool unanswered;
}

/// @dev How much of an order is filled, and the thousandths of a minor unit that are left over.
struct Fill {
    uint64 wh;
    uint16 carry;
}
