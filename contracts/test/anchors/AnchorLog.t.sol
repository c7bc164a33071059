// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./AnchorsBase.sol";

contract AnchorLogTest is AnchorsBase {
    function test_itIsTheCallersAndInTheLogOnly() public {
        bytes32 prev = keccak256("before");
        vm.expectEmit(address(anchors));
        emit MarketEvents.Anchored(operator, keccak256(abi.encode(prev, bytes32("root"))), "root", 250);
        vm.prank(operator);
        anchors.anchorLog(prev, "root", 250);
        check(anchors.headOf(operator) == 0, "state is as it was");
    }
}
