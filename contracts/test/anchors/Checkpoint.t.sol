// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./AnchorsBase.sol";

contract CheckpointTest is AnchorsBase {
    /// @dev The head in state follows, and is the same as if each had been anchored there.
    function test_aCheckpointFollowsTheLog() public {
        bytes32[] memory roots = new bytes32[](3);
        bytes32 head;
        for (uint256 i; i < 3; ++i) {
            roots[i] = keccak256(abi.encode(i));
            head = keccak256(abi.encode(head, roots[i]));
        }
        vm.expectEmit(address(anchors));
        emit MarketEvents.Checkpointed(operator, head);
        vm.prank(operator);
        anchors.checkpoint(roots);
        check(anchors.headOf(operator) == head, "head");
    }
}
