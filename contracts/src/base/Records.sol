// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { StorageSlot } from "@openzeppelin/contracts/utils/StorageSlot.sol";

import { Entry, Pairing, Stream } from "../interfaces/IConsentRegistry.sol";
import { Calldata } from "../libraries/Calldata.sol";
import { CommonErrors } from "../libraries/CommonErrors.sol";
import { Entries } from "../libraries/Entries.sol";
import { Errors } from "../libraries/Errors.sol";
import { Events } from "../libraries/Events.sol";
import { Keys } from "../libraries/Keys.sol";
import { Head, HeadWord, NO_TERMS, Origin, Terms } from "../libraries/Words.sol";

/// @title What the registry keeps, and how it changes
/// @dev Nothing here asks who wants it: the functions of the registry do, before they come here.
abstract contract Records {
    /* STORAGE */

    mapping(bytes32 sid => Stream) internal _streams;

    /// @dev By `keccak256(account, grantId, sid)`, `sid = 0` for all: revocations that found no entry to clear.
    mapping(bytes32 key => bool) internal _voids;

    mapping(bytes32 deviceHash => Pairing) internal _pairings;

    /// @dev 256 nonces to a word. Unordered, so that no message has to wait for another.
    mapping(address account => mapping(uint256 word => StorageSlot.Uint256Slot bits)) internal _nonces;

    /* CHANGES */

    function _requireInTime(uint40 deadline) internal view {
        if (block.timestamp > deadline) revert CommonErrors.DeadlinePassed(deadline);
    }

    function _useNonce(address account, uint256 nonce) internal {
        StorageSlot.Uint256Slot storage bits = _nonces[account][nonce >> 8];
        uint256 word = bits.value;
        uint256 bit = 1 << (nonce & 0xff);
        if (word & bit != 0) revert CommonErrors.NonceUsed(account, nonce);
        bits.value = word | bit;
    }

    function _ownedStream(bytes32 sid, address owner) internal view returns (Stream storage stream) {
        stream = _streams[sid];
        if (stream.owner == address(0) || stream.owner != owner) _refuse(sid, owner);
    }

    /// @dev Says why a stream is not this account's.
    function _refuse(bytes32 sid, address account) internal view {
        if (_streams[sid].owner == address(0)) revert Errors.StreamUnknown(sid);
        revert Errors.NotStreamOwner(sid, account);
    }

    function _setWriter(Stream storage stream, bytes32 sid, address writer, bytes32 streamKeyHash) internal {
        stream.writer = writer;
        stream.streamKeyHash = streamKeyHash;
        emit Events.WriterSet(sid, writer, streamKeyHash);
    }

    /// @dev Records a grant for its streams.
    function _record(
        bytes32 grantId,
        Terms terms,
        Origin origin,
        bytes32 readerKeyHash,
        bytes32 textHash,
        bytes32[] calldata sids
    ) internal {
        address owner = origin.owner();
        uint256 keys = Keys.prepare(owner, grantId);
        for (uint256 i; i < sids.length; ++i) {
            bytes32 sid = Calldata.element(sids, i);
            Head head = HeadWord.read(_streams[sid]);
            if (head.owner() != owner) _refuse(sid, owner);
            if (terms.start() < head.transferredAt()) {
                revert Errors.StartBeforeTransfer(sid, terms.start(), head.transferredAt());
            }
            Entries.Slot storage entry = Entries.get(Keys.next(keys, sid));
            // The nonce admits each grant once, so an entry can only be there because the same message named it before.
            if (!entry.terms.isZero()) revert Errors.StreamTwice(sid);
            entry.terms = terms.withTransfers(head.transfers());
        }

        emit Events.Granted(
            grantId, owner, terms.reader(), readerKeyHash, textHash, terms.brief(origin.purposeTag()), sids
        );
    }

    /// @dev Ends a grant by an account that has been found to want it.
    function _revoke(address account, bytes32 grantId, bytes32 sid) internal {
        bytes32 key = Keys.one(account, grantId, sid);
        Entries.Slot storage entry = Entries.get(key);
        if (entry.terms.isZero()) {
            // Nothing to clear: the grant is not known, or all of it is meant, or it was revoked before.
            if (sid == 0 || !_clearAsReader(account, grantId, sid)) {
                if (_voids[key]) return;
                _voids[key] = true;
            }
        } else {
            entry.terms = NO_TERMS;
        }

        emit Events.Revoked(grantId, account, sid);
    }

    /// @dev Clears the entry if the account is its reader; false if there is none. A stranger to a known grant is
    /// refused.
    function _clearAsReader(address account, bytes32 grantId, bytes32 sid) internal returns (bool) {
        Entries.Slot storage entry = Entries.get(Keys.one(_streams[sid].owner, grantId, sid));
        address reader = entry.terms.reader();
        if (reader == address(0)) return false;
        if (reader != account) revert Errors.NotParty(grantId, account);
        entry.terms = NO_TERMS;
        return true;
    }

    /// @dev The entry of a grant for a stream, or an empty one if a transfer or a revocation by either party ended it.
    function _standing(bytes32 grantId, bytes32 sid) internal view returns (Entry memory entry) {
        Stream storage stream = _streams[sid];
        address owner = stream.owner;
        entry = Entries.get(Keys.one(owner, grantId, sid)).terms.unpack();
        bool revoked = _isVoid(owner, grantId, sid) || _isVoid(entry.reader, grantId, sid);
        if (revoked || entry.transfers != stream.transfers) delete entry;
    }

    function _isVoid(address account, bytes32 grantId, bytes32 sid) internal view returns (bool) {
        return _voids[Keys.one(account, grantId, 0)] || _voids[Keys.one(account, grantId, sid)];
    }
}
