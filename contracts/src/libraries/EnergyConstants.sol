// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev Gas that must be left before each reading of a batch: several times what one takes, so that no precompile is
/// starved into calling a good signature bad.
uint256 constant READING_GAS_LEFT = 100_000;
