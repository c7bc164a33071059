// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./AnchorsBase.sol";

/// @dev contracts.md, two lanes: any holder of a body and its path can prove it with the chain alone.
contract IsAnchoredTest is AnchorsBase {
    function pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    function testFuzz_aLeafIsProvenFromTheHeadAlone(bytes32 leaf, bytes32 sibling, uint8 before, uint8 later) public {
        (before, later) = (before % 5, later % 5);
        bytes32 head;
        for (uint256 i; i < before; ++i) {
            head = put(head, keccak256(abi.encode("before", i)));
        }
        bytes32 prev = head;
        bytes32 root = pair(leaf, sibling);
        head = put(head, root);
        bytes32[] memory after_ = new bytes32[](later);
        for (uint256 i; i < later; ++i) {
            after_[i] = keccak256(abi.encode("after", i));
            head = put(head, after_[i]);
        }
        bytes32[] memory path = new bytes32[](1);
        path[0] = sibling;
        check(anchors.isAnchored(operator, prev, root, after_, leaf, path), "proven");
        check(!anchors.isAnchored(stranger, prev, root, after_, leaf, path), "by this operator");
        check(!anchors.isAnchored(operator, prev, root, after_, ~leaf, path), "this leaf");
        check(!anchors.isAnchored(operator, ~prev, root, after_, leaf, path), "at this place");
        put(head, "newer");
        check(!anchors.isAnchored(operator, prev, root, after_, leaf, path), "up to the head");
    }
}
