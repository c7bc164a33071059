// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { ISignedMessages } from "../interfaces/ISignedMessages.sol";
import { CommonErrors } from "../libraries/CommonErrors.sol";
import { CommonEvents } from "../libraries/CommonEvents.sol";
import { ITEM_GAS_LEFT } from "../libraries/Constants.sol";
import { Signers } from "../libraries/Signers.sol";

/// @title Signed messages: digests, nonces, deadlines, batches
/// @dev What a contract adds is `_structHash`: which calls carry messages, and their hashes.
abstract contract SignedMessages is ISignedMessages, EIP712 {
    /// @dev 256 nonces to a word. Unordered, so that no message has to wait for another.
    mapping(address account => mapping(uint256 word => uint256 bits)) private _nonceBits;

    /// @inheritdoc ISignedMessages
    function batch(bytes[] calldata items) external {
        for (uint256 i; i < items.length; ++i) {
            uint256 before = gasleft();
            if (before < ITEM_GAS_LEFT) revert CommonErrors.InsufficientGas(before);
            if (!_isMessage(items[i])) {
                emit CommonEvents.Rejected(keccak256(items[i]), CommonErrors.UnknownMessage.selector);
                continue;
            }
            // A call into itself, so that whatever an item did is undone when it fails; a delegatecall, so that the
            // caller stays the caller. It runs this very code, on this storage, and carries no value.
            (bool ok, bytes memory reason) = address(this).delegatecall(items[i]);
            if (!ok) _reject(items[i], reason, before);
        }
    }

    /// @inheritdoc ISignedMessages
    function nonceUsed(address account, uint256 nonce) external view returns (bool) {
        return _nonceBits[account][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /// @inheritdoc ISignedMessages
    function digestOf(bytes calldata item) public view returns (bytes32) {
        if (!_isMessage(item)) revert CommonErrors.UnknownMessage(item.length < 4 ? bytes4(0) : bytes4(item));
        return _hashTypedDataV4(_structHash(bytes4(item), item[4:]));
    }

    /// @dev Whether a selector is that of a function that takes a message.
    function _takes(bytes4 selector) internal pure virtual returns (bool);

    /// @dev The EIP-712 struct hash of the message in the arguments of a function that takes one. May revert where the
    /// arguments are too short.
    function _structHash(bytes4 selector, bytes calldata arguments) internal pure virtual returns (bytes32);

    function _requireInTime(uint40 deadline) internal view {
        if (block.timestamp > deadline) revert CommonErrors.DeadlinePassed(deadline);
    }

    /// @dev Not `_useNonce`: that is the counter of OpenZeppelin's permit.
    function _spendNonce(address account, uint256 nonce) internal {
        uint256 word = _nonceBits[account][nonce >> 8];
        uint256 bit = 1 << (nonce & 0xff);
        if (word & bit != 0) revert CommonErrors.NonceUsed(account, nonce);
        _nonceBits[account][nonce >> 8] = word | bit;
    }

    /// @dev Deadline, signature and nonce of a message that one account signs.
    function _spend(address account, bytes32 structHash, bytes calldata sig, uint256 nonce, uint40 deadline) internal {
        _requireInTime(deadline);
        Signers.requireSigned(account, _hashTypedDataV4(structHash), sig);
        _spendNonce(account, nonce);
    }

    function _isMessage(bytes calldata item) private pure returns (bool) {
        return item.length >= 4 && _takes(bytes4(item));
    }

    /// @dev Reports a refused item, unless it may have failed for want of gas: then the whole batch reverts.
    function _reject(bytes calldata item, bytes memory reason, uint256 before) private {
        // forge-lint: disable-next-line(unsafe-typecast)
        bytes4 code = bytes4(reason); // the selector; the arguments do not fit the event
        // Running out shows as an empty reason with the item's 63/64 gone. A message that cannot be decoded leaves
        // more.
        bool ranOut = reason.length == 0 && gasleft() < before / 32;
        if (ranOut || code == CommonErrors.InsufficientGas.selector) revert CommonErrors.InsufficientGas(gasleft());
        bytes32 digest = keccak256(item);
        try this.digestOf(item) returns (bytes32 typed) {
            digest = typed;
        } catch { }
        emit CommonEvents.Rejected(digest, code);
    }
}
