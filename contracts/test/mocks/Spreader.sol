// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC6909 } from "@openzeppelin/contracts/interfaces/IERC6909.sol";

/// @dev As an operator, gives one share each to many made-up holders in one transaction.
contract Spreader {
    function spread(IERC6909 token, address from, uint256 id, uint160 first, uint256 count) external {
        for (uint160 i; i < count; ++i) {
            token.transferFrom(from, address(first + i), id, 1);
        }
    }
}
