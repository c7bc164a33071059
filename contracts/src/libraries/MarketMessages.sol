// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { Counter, Order, Payment } from "../interfaces/MarketTypes.sol";

/// @title EIP-712 types and struct hashes of the market's messages
/// @dev A struct of value types hashes as its type hash followed by its ABI encoding; a `bytes32[]` stands as the
/// keccak256 of its elements.
library MarketMessages {
    bytes32 internal constant DEPOSIT =
        keccak256("Deposit(address account,address operator,uint88 amount,uint256 nonce,uint40 deadline)");
    bytes32 internal constant WITHDRAW =
        keccak256("Withdraw(address account,address operator,uint88 amount,uint256 nonce,uint40 deadline)");
    bytes32 internal constant OFFER = keccak256(
        "Offer(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,uint88 price,uint40 start,uint40 end,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant REQUEST = keccak256(
        "Request(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,uint88 price,uint40 start,uint40 end,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant MATCH = keccak256(
        "Match(address operator,bytes32 offer,bytes32 request,uint64 wh,uint88 price,uint40 start,uint40 end,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant CANCEL = keccak256("Cancel(address account,address operator,bytes32 id,uint40 deadline)");
    bytes32 internal constant PROVISION =
        keccak256("Provision(address account,address operator,bytes32 contractId,uint64 wh,uint40 deadline)");
    bytes32 internal constant COUNTER = keccak256("Counter(address device,uint64 counterWh,uint40 meterTime)");
    bytes32 internal constant PAYMENT = keccak256(
        "Payment(address payer,address operator,bytes32[] contracts,uint88 amount,bool fromWallet,uint40 deadline)"
    );
    bytes32 internal constant CONFIRM =
        keccak256("Confirm(address account,address operator,bytes32 contractId,uint40 deadline)");
    bytes32 internal constant REMIND =
        keccak256("Remind(address account,address operator,bytes32 contractId,uint8 number,uint40 deadline)");
    bytes32 internal constant ISSUE_CLAIM =
        keccak256("IssueClaim(address account,address operator,bytes32 contractId,bytes32 evidence,uint40 deadline)");
    bytes32 internal constant CURE =
        keccak256("Cure(address account,address operator,bytes32 contractId,uint40 deadline)");
    bytes32 internal constant DISPUTE =
        keccak256("Dispute(address account,address operator,bytes32 contractId,bytes32 reason,uint40 deadline)");
    bytes32 internal constant RULING =
        keccak256("Ruling(address arbiter,address operator,bytes32 contractId,uint64 wh,uint40 deadline)");
    bytes32 internal constant ALLOWANCE = keccak256(
        "Allowance(address owner,address account,address operator,uint88 perDay,uint88 perContract,uint40 validUntil,uint32 nonce,uint40 deadline)"
    );
    bytes32 internal constant ANCHOR =
        keccak256("Anchor(address operator,bytes32 prev,bytes32 root,uint32 count,uint40 deadline)");
    bytes32 internal constant DELEGATE =
        keccak256("Delegate(address account,address key,uint32 scope,uint40 until,uint256 nonce,uint40 deadline)");
    bytes32 internal constant NET_MANDATE = keccak256(
        "NetMandate(address account,address operator,uint88 maxDebitPerPeriod,uint40 validUntil,uint32 nonce,uint40 deadline)"
    );
    bytes32 internal constant NET_BATCH = keccak256(
        "NetBatch(address operator,uint24 period,bytes32 root,bytes32 debits,bytes32 credits,uint40 deadline)"
    );
    bytes32 internal constant DEMAND =
        keccak256("Demand(address account,address operator,uint24 period,uint40 deadline)");

    function hashOrder(Order calldata m, bytes32 typeHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(typeHash, m));
    }

    function hash(Counter calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(COUNTER, m));
    }

    function hash(Payment calldata m) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                PAYMENT,
                m.payer,
                m.operator,
                keccak256(abi.encodePacked(m.contracts)),
                m.amount,
                m.fromWallet,
                m.deadline
            )
        );
    }
}
