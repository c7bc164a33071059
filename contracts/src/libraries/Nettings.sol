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

    /// @notice The entry that starts at a byte of the list. Reverts outside of it, and for an amount that no balance
    /// can hold.
    /// @dev Every member of every netting is read here twice; slices would cost 350 gas where this costs 40.
    function at_(bytes calldata entries, uint256 place) internal pure returns (uint32 member, uint88 amount) {
        uint256 word;
        unchecked {
            if (place > entries.length || entries.length - place < ENTRY) revert MarketErrors.BadEntries();
        }
        // The bytes after the entry are shifted out, so that reading past the list does no harm.
        assembly ("memory-safe") {
            word := shr(128, calldataload(add(entries.offset, place)))
        }
        if (uint96(word) >> 88 != 0) revert MarketErrors.BadEntries();
        // forge-lint: disable-next-line(unsafe-typecast)
        (member, amount) = (uint32(word >> 96), uint88(word));
    }
}
