// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IConsentRegistry, Item } from "../interfaces/IConsentRegistry.sol";
import "./Constants.sol";
import { Errors } from "./Errors.sol";
import { Messages } from "./Messages.sol";

/// @title Items of a batch
/// @dev Puts an item together as the call that the same message would be on its own, so that batches run no code of
/// their own. Offsets need no alignment, so nothing is padded.
library Items {
    /// @notice The calldata of the function for an item's kind; empty where there is no such kind.
    function toCall(Item calldata item) internal pure returns (bytes memory) {
        uint8 kind = item.kind;
        if (kind == KIND_GRANT) return _dynamic(IConsentRegistry.grant.selector, item);
        if (kind == KIND_STREAM_COMMIT) return _one(IConsentRegistry.commit.selector, item);
        if (kind == KIND_REVOKE) return _one(IConsentRegistry.revoke.selector, item);
        if (kind == KIND_REGISTER_KEY) return _one(IConsentRegistry.registerKey.selector, item);
        if (kind == KIND_UNPAIR_DEVICE) return _dynamic(IConsentRegistry.unpairDevice.selector, item);
        if (kind == KIND_REGISTER_STREAM) return _two(IConsentRegistry.registerStream.selector, item);
        if (kind == KIND_SET_WRITER) return _two(IConsentRegistry.setWriter.selector, item);
        if (kind == KIND_PAIR_DEVICE) return _two(IConsentRegistry.pairDevice.selector, item);
        if (kind == KIND_TRANSFER_STREAM) return _two(IConsentRegistry.transferStream.selector, item);
        return "";
    }

    /// @notice The EIP-712 struct hash of an item's message. Reverts when the bytes are too short or of no kind.
    function structHash(uint8 kind, bytes calldata message) internal pure returns (bytes32) {
        if (kind == KIND_GRANT) return _hashWithStreams(Messages.GRANT, message[DYNAMIC_OFFSET:], 10, 3);
        if (kind == KIND_UNPAIR_DEVICE) {
            return _hashWithStreams(Messages.UNPAIR_DEVICE, message[DYNAMIC_OFFSET:], 5, 2);
        }
        // The other structs are value types only: their encoding is what is hashed. Witnesses that follow are cut off.
        (bytes32 typeHash, uint256 words) = _static(kind);
        return keccak256(bytes.concat(typeHash, message[:words * 32]));
    }

    /// @dev The hash of a struct of `words` fields of which number `place` is the `bytes32[]`: the array's offset gives
    /// way to the hash of its elements.
    function _hashWithStreams(bytes32 typeHash, bytes calldata body, uint256 words, uint256 place)
        private
        pure
        returns (bytes32)
    {
        uint256 head = place * 32;
        uint256 start = uint256(bytes32(body[head:head + 32])) + 32;
        uint256 size = uint256(bytes32(body[start - 32:start])) * 32;
        bytes32 streams = keccak256(body[start:start + size]);
        return keccak256(bytes.concat(typeHash, body[:head], streams, body[head + 32:words * 32]));
    }

    function _static(uint8 kind) private pure returns (bytes32 typeHash, uint256 words) {
        if (kind == KIND_REGISTER_STREAM) return (Messages.REGISTER_STREAM, 8);
        if (kind == KIND_SET_WRITER) return (Messages.SET_WRITER, 6);
        if (kind == KIND_PAIR_DEVICE) return (Messages.PAIR_DEVICE, 4);
        if (kind == KIND_REVOKE) return (Messages.REVOKE, 3);
        if (kind == KIND_REGISTER_KEY) return (Messages.REGISTER_KEY, 5);
        if (kind == KIND_STREAM_COMMIT) return (Messages.STREAM_COMMIT, 3);
        if (kind == KIND_TRANSFER_STREAM) return (Messages.TRANSFER_STREAM, 5);
        revert Errors.UnknownKind(kind);
    }

    /// @dev f(static..., bytes)
    function _one(bytes4 selector, Item calldata item) private pure returns (bytes memory) {
        return
            bytes.concat(
                selector, item.message, bytes32(item.message.length + 32), bytes32(item.sigA.length), item.sigA
            );
    }

    /// @dev f(static..., bytes, bytes)
    function _two(bytes4 selector, Item calldata item) private pure returns (bytes memory) {
        uint256 head = item.message.length + 64;
        return bytes.concat(
            selector,
            item.message,
            bytes32(head),
            bytes32(head + 32 + item.sigA.length),
            bytes32(item.sigA.length),
            item.sigA,
            bytes32(item.sigB.length),
            item.sigB
        );
    }

    /// @dev f(dynamic struct, bytes): the struct's own offset word is replaced by one for the longer head.
    function _dynamic(bytes4 selector, Item calldata item) private pure returns (bytes memory) {
        // Too short for an offset: a call without arguments, which fails like any other that cannot be decoded.
        if (item.message.length < DYNAMIC_OFFSET) return bytes.concat(selector);
        bytes calldata body = item.message[DYNAMIC_OFFSET:];
        return bytes.concat(
            selector, bytes32(uint256(64)), bytes32(64 + body.length), body, bytes32(item.sigA.length), item.sigA
        );
    }
}
