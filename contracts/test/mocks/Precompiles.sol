// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Answers everything with `size` bytes that begin with a word of `value`.
contract Answers {
    uint256 private immutable VALUE;
    uint256 private immutable SIZE;

    constructor(uint256 value, uint256 size) {
        (VALUE, SIZE) = (value, size);
    }

    fallback() external {
        (uint256 value, uint256 size) = (VALUE, SIZE);
        assembly {
            mstore(0, value)
            return(0, size)
        }
    }
}

/// @dev Takes everything and says nothing.
contract Silent {
    fallback() external { }
}
