// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev Reminders before a claim.
uint8 constant REMINDERS = 3;

/// @dev Seconds that a meter's reading may lie beside the start or the end of a delivery: telegrams come when they come.
uint256 constant METER_TOLERANCE = 300;

/// @dev A netting period, and the time that an allowance's daily cap is for.
uint256 constant DAY = 1 days;

/// @dev What a delegate may sign: orders.
uint32 constant SCOPE_ORDERS = 1;

/// @dev Bytes of an entry of a netting: `uint32 member | uint96 amount`.
uint256 constant ENTRY = 16;

/// @dev An operator's own balance must be at least this part of what a netting takes.
uint256 constant DEPOSIT_PART = 10;

/// @dev Seconds that an operator has to show the lines behind a debit.
uint256 constant ANSWER_TIME = 1 days;

/// @dev Days after which a netting's record is written over. More than a batch can wait for its release.
uint256 constant NET_PLACES = 32;
