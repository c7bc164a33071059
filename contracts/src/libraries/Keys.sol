// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Keys of entries and marks
/// @dev `keccak256(abi.encode(account, grantId, sid))`.
library Keys {
    /// @notice One key.
    /// @dev Uses the first three words of memory and puts the third, where the compiler keeps the end of memory, back.
    function one(address account, bytes32 grantId, bytes32 sid) internal pure returns (bytes32 key) {
        uint256 clean = uint160(account);
        assembly ("memory-safe") {
            let end := mload(0x40)
            mstore(0x00, clean)
            mstore(0x20, grantId)
            mstore(0x40, sid)
            key := keccak256(0x00, 0x60)
            mstore(0x40, end)
        }
    }

    /// @notice Makes room for many keys of one account and grant, with what they share laid down.
    function prepare(address account, bytes32 grantId) internal pure returns (uint256 place) {
        uint256 clean = uint160(account);
        assembly ("memory-safe") {
            place := mload(0x40)
            mstore(0x40, add(place, 0x60))
            mstore(place, clean)
            mstore(add(place, 0x20), grantId)
        }
    }

    /// @notice One of them.
    function next(uint256 place, bytes32 sid) internal pure returns (bytes32 key) {
        assembly ("memory-safe") {
            mstore(add(place, 0x40), sid)
            key := keccak256(place, 0x60)
        }
    }
}
