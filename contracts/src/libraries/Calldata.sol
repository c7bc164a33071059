// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { ShortGrant } from "../interfaces/IConsentRegistry.sol";

/// @title Pointers into calldata
/// @dev What the language cannot say, or only with a check for each element.
library Calldata {
    /// @notice `list[index]` for an index that is known to lie within.
    function element(bytes32[] calldata list, uint256 index) internal pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := calldataload(add(list.offset, shl(5, index)))
        }
    }

    /// @notice Bytes, of which there are a multiple of 32, as words.
    function words(bytes calldata content) internal pure returns (bytes32[] calldata made) {
        assembly ("memory-safe") {
            made.offset := content.offset
            made.length := shr(5, content.length)
        }
    }

    /// @notice The struct at the start of bytes that are known to hold one.
    function shortGrant(bytes calldata content) internal pure returns (ShortGrant calldata made) {
        assembly ("memory-safe") {
            made := content.offset
        }
    }
}
