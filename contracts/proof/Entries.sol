// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Nettings } from "../src/libraries/Nettings.sol";

/// @dev The sum of a netting's entries, of lists of two and of one: members in order, in one list only.
contract EntriesProof {
    function sum(bytes calldata entries, bytes calldata others) external pure returns (uint256, uint256, bool) {
        return Nettings.sumBeside(entries, others);
    }

    function check_theSum(uint32 a, uint96 x, uint32 b, uint96 y, uint32 c, uint32 d, uint96 z) public view {
        if (c >= d) return;
        (uint256 total, uint256 last, bool fine) = this.sum(abi.encodePacked(a, x, b, y), abi.encodePacked(c, z, d, z));
        bool inOrder = a != 0 && a < b;
        bool apart = a != c && a != d && b != c && b != d;
        assert(fine == (inOrder && apart));
        if (fine) assert(total == uint256(x) + y && last == b);
    }
}
