// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { IMessenger } from "../interfaces/IMessenger.sol";
import { CommonErrors } from "../libraries/CommonErrors.sol";
import { CommonEvents } from "../libraries/CommonEvents.sol";
import { ITEM_GAS_LEFT } from "../libraries/Constants.sol";
import { Signers } from "../libraries/Signers.sol";

/// @title Messenger
/// @notice See {IMessenger}.
abstract contract Messenger is IMessenger, EIP712 {
    /// @dev 256 nonces to a word. Unordered, so that no message has to wait for another.
    mapping(address account => mapping(uint256 word => uint256 bits)) private _nonces;

    /// @inheritdoc IMessenger
    // A refused item is reported after its call; whoever is called back in it can only bring messages of its own.
    // slither-disable-next-line reentrancy-events
    function batch(bytes[] calldata calls) external {
        for (uint256 i; i < calls.length; ++i) {
            uint256 before = gasleft();
            if (before < ITEM_GAS_LEFT) revert CommonErrors.InsufficientGas(before);
            // A call into itself, so that whatever an item did is undone when it fails; a delegatecall, so that the
            // caller stays the caller. It runs this very code, on this storage, and carries no value.
            (bool ok, bytes memory reason) = address(this).delegatecall(calls[i]);
            if (!ok) _reject(calls[i], reason, before);
        }
    }

    /// @inheritdoc IMessenger
    function digestOf(bytes calldata call) public view returns (bytes32) {
        bytes32 structHash = _structHash(call);
        return structHash == 0 ? keccak256(call) : _hashTypedDataV4(structHash);
    }

    /// @inheritdoc IMessenger
    function nonceUsed(address account, uint256 nonce) external view returns (bool) {
        return _nonces[account][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /// @dev The struct hash of the message in a call; zero where the function takes none.
    function _structHash(bytes calldata call) internal pure virtual returns (bytes32);

    /// @dev The struct hash of value types only, which stand at the head of a call as they are hashed: one piece of
    /// code for all messages. A field with bits beyond its type makes another digest, and reverts where it is read.
    function _hashWords(bytes32 typeHash, bytes calldata call, uint256 words) internal pure returns (bytes32) {
        return keccak256(bytes.concat(typeHash, call[4:4 + words * 32]));
    }

    function _requireInTime(uint40 deadline) internal view {
        if (block.timestamp > deadline) revert CommonErrors.DeadlinePassed(deadline);
    }

    /// @dev Checks deadline and signature of the message of value types that stands first in the call; returns its
    /// digest.
    function _accept(address account, bytes32 typeHash, uint256 words, uint40 deadline, bytes calldata sig)
        internal
        view
        returns (bytes32)
    {
        return _acceptHashed(account, _hashWords(typeHash, msg.data, words), deadline, sig);
    }

    function _acceptHashed(address account, bytes32 structHash, uint40 deadline, bytes calldata sig)
        internal
        view
        returns (bytes32 digest)
    {
        _requireInTime(deadline);
        digest = _hashTypedDataV4(structHash);
        Signers.requireSigned(account, digest, sig);
    }

    function _useNonce(address account, uint256 nonce) internal {
        uint256 word = _nonces[account][nonce >> 8];
        uint256 bit = 1 << (nonce & 0xff);
        if (word & bit != 0) revert CommonErrors.NonceUsed(account, nonce);
        _nonces[account][nonce >> 8] = word | bit;
    }

    /// @dev Reports a refused item, unless it may have failed for want of gas: then the whole batch reverts.
    function _reject(bytes calldata call, bytes memory reason, uint256 before) private {
        // forge-lint: disable-next-line(unsafe-typecast)
        bytes4 code = bytes4(reason); // the selector; the arguments do not fit the event
        // Running out shows as an empty reason with the item's 63/64 gone. A call that cannot be decoded leaves more.
        bool ranOut = reason.length == 0 && gasleft() < before / 32;
        if (ranOut || code == CommonErrors.InsufficientGas.selector) revert CommonErrors.InsufficientGas(gasleft());
        bytes32 digest = keccak256(call);
        try this.digestOf(call) returns (bytes32 typed) {
            digest = typed;
        } catch { }
        emit CommonEvents.Rejected(digest, code);
    }
}
