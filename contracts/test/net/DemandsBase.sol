// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./NetBase.sol";

/// @dev A debtor demands the lines behind its debit, and the operator shows them.
abstract contract DemandsBase is NetBase {
    function demandBy(uint256 key, uint256 index) internal {
        Demand memory m = Demand(vm.addr(key), operator, TODAY, soon());
        net.demandLines(m, settled, debits, index, sign(key, digest(m)));
    }

    /// @dev In the order that the contract wants: requests ascending.
    function show(uint256 count) internal {
        bool swap = keccak256(abi.encode(lines[0].request)) > keccak256(abi.encode(lines[1].request));
        Line[] memory shown = new Line[](count);
        bytes32[][] memory paths = new bytes32[][](count);
        for (uint256 i; i < count; ++i) {
            uint256 which = swap ? 1 - i : i;
            (shown[i], paths[i]) = (lines[which], path(which));
        }
        net.showLines(operator, TODAY, settled, debits, 0, shown, paths);
    }

    function showThem(uint256 count) external {
        show(count);
    }
}
