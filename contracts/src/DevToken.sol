// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20, ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title Money for devnets
/// @notice An ERC-20 with permit of which anybody can make any amount: worthless by design. In production, settlement
/// names any ERC-20.
contract DevToken is ERC20Permit {
    constructor() ERC20("Wattpact DevToken", "DEV") ERC20Permit("Wattpact DevToken") { }

    /// @notice Makes tokens for an account. Anybody may.
    function mint(address to, uint256 value) external {
        _mint(to, value);
    }

    /// @notice Cents of a cent: 10^6 to the whole, as the stablecoins have it.
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
