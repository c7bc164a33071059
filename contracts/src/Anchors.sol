// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { MerkleProof } from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import { Messenger } from "./base/Messenger.sol";
import { Anchor, Delegate, Delegation, IAnchors } from "./interfaces/IAnchors.sol";
import { CommonErrors } from "./libraries/CommonErrors.sol";
import { MarketErrors } from "./libraries/MarketErrors.sol";
import { MarketEvents } from "./libraries/MarketEvents.sol";
import { MarketMessages } from "./libraries/MarketMessages.sol";

/// @title Anchors
/// @notice See {IAnchors}.
contract Anchors is IAnchors, Messenger {
    mapping(address operator => bytes32 head) private _heads;
    mapping(address account => mapping(address key => mapping(uint32 scope => Delegation))) private _delegations;

    constructor() EIP712("Wattpact Anchors", "1") { }

    /// @inheritdoc IAnchors
    function anchor(Anchor calldata m, bytes calldata sig) external {
        bytes32 head = _heads[m.operator];
        if (m.prev != head) revert MarketErrors.WrongHead(head);
        _accept(m.operator, MarketMessages.ANCHOR, 5, m.deadline, sig);

        head = _chain(head, m.root);
        _heads[m.operator] = head;

        emit MarketEvents.Anchored(m.operator, head, m.root, m.count);
    }

    /// @inheritdoc IAnchors
    function anchorLog(bytes32 prev, bytes32 root, uint32 count) external {
        emit MarketEvents.Anchored(msg.sender, _chain(prev, root), root, count);
    }

    /// @inheritdoc IAnchors
    function checkpoint(bytes32[] calldata roots) external {
        bytes32 head = _chainAll(_heads[msg.sender], roots);
        _heads[msg.sender] = head;
        emit MarketEvents.Checkpointed(msg.sender, head);
    }

    /// @inheritdoc IAnchors
    function delegate(Delegate calldata m, bytes calldata sig) external {
        if (m.key == address(0) || m.account == address(0)) revert CommonErrors.ZeroAddress();
        Delegation storage delegation = _delegations[m.account][m.key][m.scope];
        uint40 since = delegation.since;
        if (since != 0 && delegation.until < block.timestamp) revert MarketErrors.DelegationEnded(m.account, m.key);
        _accept(m.account, MarketMessages.DELEGATE, 6, m.deadline, sig);

        _useNonce(m.account, m.nonce);
        uint40 current = uint40(block.timestamp);
        if (since == 0) since = current;
        // Ending takes effect after this second; what was signed before stays good.
        uint40 until = m.until < current ? current : m.until;
        delegation.since = since;
        delegation.until = until;

        emit MarketEvents.Delegated(m.account, m.key, m.scope, since, until);
    }

    /// @inheritdoc IAnchors
    function headOf(address operator) external view returns (bytes32) {
        return _heads[operator];
    }

    /// @inheritdoc IAnchors
    function isAnchored(
        address operator,
        bytes32 prev,
        bytes32 root,
        bytes32[] calldata later,
        bytes32 leaf,
        bytes32[] calldata path
    ) external view returns (bool) {
        return _chainAll(_chain(prev, root), later) == _heads[operator] && MerkleProof.verifyCalldata(path, root, leaf);
    }

    /// @inheritdoc IAnchors
    function isDelegate(address account, address key, uint32 scope, uint40 time) external view returns (bool) {
        Delegation memory delegation = _delegations[account][key][scope];
        return delegation.since != 0 && delegation.since <= time && time <= delegation.until;
    }

    /// @inheritdoc IAnchors
    function delegationOf(address account, address key, uint32 scope) external view returns (Delegation memory) {
        return _delegations[account][key][scope];
    }

    function _structHash(bytes calldata call) internal pure override returns (bytes32) {
        bytes4 selector = bytes4(call[:4]);
        if (selector == IAnchors.anchor.selector) return _hashWords(MarketMessages.ANCHOR, call, 5);
        if (selector == IAnchors.delegate.selector) return _hashWords(MarketMessages.DELEGATE, call, 6);
        return 0;
    }

    function _chain(bytes32 head, bytes32 root) private pure returns (bytes32) {
        return keccak256(abi.encode(head, root));
    }

    function _chainAll(bytes32 head, bytes32[] calldata roots) private pure returns (bytes32) {
        for (uint256 i; i < roots.length; ++i) {
            head = _chain(head, roots[i]);
        }
        return head;
    }
}
