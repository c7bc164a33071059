// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { Entry } from "../interfaces/IConsentRegistry.sol";

/// @title One word for an entry
/// @dev The compiler would write the fields of a packed struct one after the other. A grant writes an entry for each
/// of its streams, so they go in one piece: `reader | start << 160 | end << 200 | transfers << 240`.
library Entries {
    /// @notice The word of an entry.
    function pack(Entry memory entry) internal pure returns (uint256) {
        return uint256(uint160(entry.reader)) | uint256(entry.start) << 160 | uint256(entry.end) << 200
            | uint256(entry.transfers) << 240;
    }

    /// @notice The entry in a word.
    /// @dev Each cast keeps exactly the field's bits.
    function unpack(uint256 word) internal pure returns (Entry memory entry) {
        entry.reader = readerOf(word);
        // forge-lint: disable-next-line(unsafe-typecast)
        entry.start = uint40(word >> 160);
        // forge-lint: disable-next-line(unsafe-typecast)
        entry.end = uint40(word >> 200);
        // forge-lint: disable-next-line(unsafe-typecast)
        entry.transfers = uint16(word >> 240);
    }

    /// @notice The reader in a word; zero where there is no entry.
    function readerOf(uint256 word) internal pure returns (address) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return address(uint160(word));
    }
}
