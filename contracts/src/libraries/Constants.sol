// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev Gas given to an account's EIP-1271 code. A fixed amount, so that a signature's validity does not depend on who
/// brings it and with how much gas.
uint256 constant EIP1271_GAS = 100_000;

/// @dev Gas that must be left before such a call: a call gets at most 63/64 of what is left (EIP-150), and the rest of
/// the message needs its share afterwards.
uint256 constant EIP1271_GAS_LEFT = EIP1271_GAS * 64 / 63 + 50_000;

/// @dev Gas that must be left before each item of a batch. With less, the 1/64 that is held back from the item would be
/// below what a precompile can starve of, and "ran out" could not be told from "malformed".
uint256 constant ITEM_GAS_LEFT = 200_000;
