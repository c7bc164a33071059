// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { ENTRY } from "./MarketConstants.sol";
import { MarketErrors } from "./MarketErrors.sol";

/// @title Lists of entries of a netting: `uint32 member | uint96 amount`, 16 bytes each
library Nettings {
    /// @notice Reverts unless the list is a whole number of entries.
    function requireWhole(bytes calldata entries) internal pure {
        if (entries.length % ENTRY != 0) revert MarketErrors.BadEntries();
    }

    /// @notice Entry number `index`. Reverts outside of the list.
    function at_(bytes calldata entries, uint256 index) internal pure returns (uint32 member, uint256 amount) {
        if (index >= entries.length / ENTRY) revert MarketErrors.BadEntries();
        uint256 entry = next(entries, index * ENTRY);
        // forge-lint: disable-next-line(unsafe-typecast)
        return (uint32(memberIn(entry)), amountIn(entry));
    }

    /// @notice The entry that starts at a byte of the list, which must hold all of it.
    /// @dev Every member of every netting is read here twice; slices would cost 350 gas where this costs 20.
    function next(bytes calldata entries, uint256 place) internal pure returns (uint256 entry) {
        assembly ("memory-safe") {
            entry := shr(128, calldataload(add(entries.offset, place)))
        }
    }

    /// @notice Whose an entry is.
    function memberIn(uint256 entry) internal pure returns (uint256) {
        return entry >> 96;
    }

    /// @notice How much.
    function amountIn(uint256 entry) internal pure returns (uint256) {
        return entry & type(uint96).max;
    }

    /// @notice The sum of a list of whole entries, if they are in ascending order and none names a member of the other
    /// list, which is in ascending order. `last` is the last member, or the one that is out of order or in both.
    /// @dev Walks through both lists at once. In Solidity the jumps and the moves on the stack cost each member 150 gas.
    function sumBeside(bytes calldata entries, bytes calldata others)
        internal
        pure
        returns (uint256 sum, uint256 last, bool fine)
    {
        assembly ("memory-safe") {
            let end := add(entries.offset, entries.length)
            let otherEnd := add(others.offset, others.length)
            let otherAt := others.offset
            let other := 0
            fine := 1
            for { let at := entries.offset } lt(at, end) { at := add(at, ENTRY) } {
                let entry := shr(128, calldataload(at))
                let member := shr(96, entry)
                for { } and(lt(other, member), lt(otherAt, otherEnd)) { otherAt := add(otherAt, ENTRY) } {
                    other := shr(224, calldataload(otherAt))
                }
                fine := and(gt(member, last), iszero(eq(member, other)))
                last := member
                if iszero(fine) { break }
                sum := add(sum, and(entry, 0xffffffffffffffffffffffff))
            }
        }
    }
}
