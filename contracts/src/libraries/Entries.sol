// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { Terms } from "./Words.sol";

/// @title Entries of grants in storage
/// @dev An entry is at its key itself, without a mapping. The key is a hash of 96 bytes, so it meets neither another key
/// nor the slot of anything in a mapping, which is a hash of 64. Nobody chooses it: only hashes that
/// {Keys} made come here.
/// @dev With the owner in the key, an owner's revocation needs no other slot to know that it is one, and a transfer leaves
/// the former owner's grants where nobody looks. Revoking clears the slot; the grant cannot come back, because its nonce is
/// used.
library Entries {
    struct Slot {
        Terms terms;
    }

    /// @notice The entry with a key of {Keys}.
    function get(bytes32 key) internal pure returns (Slot storage entry) {
        assembly ("memory-safe") {
            entry.slot := key
        }
    }
}
