// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../VaultBase.sol";

/// @dev Messages of the anchored lane.
abstract contract AnchorsBase is VaultBase {
    function setUp() public virtual {
        actors();
    }

    function anchorTyped(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainOf("Wattpact Anchors", address(anchors)), structHash));
    }

    function digest(Anchor memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("Anchor(address operator,bytes32 prev,bytes32 root,uint32 count,uint40 deadline)");
        return anchorTyped(keccak256(abi.encode(head, m)));
    }

    function digest(Delegate memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "Delegate(address account,address key,uint32 scope,uint40 until,uint256 nonce,uint40 deadline)"
        );
        return anchorTyped(keccak256(abi.encode(head, m)));
    }

    function put(bytes32 prev, bytes32 root) internal returns (bytes32) {
        Anchor memory m = Anchor(operator, prev, root, 250, soon());
        anchors.anchor(m, sign(OPERATOR_KEY, digest(m)));
        return keccak256(abi.encode(prev, root));
    }

    function delegateTo(address key, uint40 until) internal {
        Delegate memory m = Delegate(seller, key, 1, until, freshNonce(), soon());
        anchors.delegate(m, sign(SELLER_KEY, digest(m)));
    }
}
