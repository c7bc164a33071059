// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { Records } from "./base/Records.sol";
import {
    Entry,
    Grant,
    IConsentRegistry,
    PairDevice,
    Pairing,
    RegisterKey,
    RegisterStream,
    Revoke,
    SetWriter,
    ShortGrant,
    Stream,
    StreamCommit,
    TransferStream,
    UnpairDevice
} from "./interfaces/IConsentRegistry.sol";
import { Calls } from "./libraries/Calls.sol";
import { CommonErrors } from "./libraries/CommonErrors.sol";
import { CommonEvents } from "./libraries/CommonEvents.sol";
import { ITEM_GAS_LEFT } from "./libraries/Constants.sol";
import { Entries } from "./libraries/Entries.sol";
import { Errors } from "./libraries/Errors.sol";
import { Events } from "./libraries/Events.sol";
import { Keys } from "./libraries/Keys.sol";
import { Messages } from "./libraries/Messages.sol";
import { Signers } from "./libraries/Signers.sol";
import { NO_TERMS, Origin, OriginWord, Terms, TermsWord } from "./libraries/Words.sol";

/// @title ConsentRegistry
/// @notice See {IConsentRegistry}.
contract ConsentRegistry is IConsentRegistry, EIP712, Records {
    /// @dev Refuses a grant that can mean nothing, or nothing any more. A modifier, because those are inlined.
    modifier sensible(Terms terms, Origin origin, uint256 count) {
        if (block.timestamp > origin.deadline()) revert CommonErrors.DeadlinePassed(origin.deadline());
        if (terms.start() >= terms.end()) revert Errors.EmptyInterval(terms.start(), terms.end());
        if (terms.reader() == address(0)) revert CommonErrors.ZeroAddress();
        if (count == 0) revert Errors.NoStreams();
        _;
    }

    constructor() EIP712("Wattpact ConsentRegistry", "1") { }

    /* STREAMS */

    /// @inheritdoc IConsentRegistry
    function registerStream(RegisterStream calldata m, bytes calldata ownerSig, bytes calldata writerSig)
        external
        returns (bytes32 sid)
    {
        _requireInTime(m.deadline);
        if (m.slotSeconds == 0) revert Errors.ZeroSlot();
        if (m.owner == address(0) || m.writer == address(0)) revert CommonErrors.ZeroAddress();
        sid = keccak256(abi.encode(block.chainid, address(this), m.owner, m.nameHash));
        Stream storage stream = _streams[sid];
        if (stream.owner != address(0)) revert Errors.StreamExists(sid);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signers.requireSigned(m.owner, digest, ownerSig);
        Signers.requireSigned(m.writer, digest, writerSig);

        _useNonce(m.owner, m.nonce);
        stream.owner = m.owner;
        stream.genesis = m.genesis;
        stream.writer = m.writer;
        stream.slotSeconds = m.slotSeconds;
        stream.streamKeyHash = m.streamKeyHash;

        emit Events.StreamRegistered(sid, m.owner, m.writer, m.nameHash, m.streamKeyHash, m.genesis, m.slotSeconds);
    }

    /// @inheritdoc IConsentRegistry
    function setWriter(SetWriter calldata m, bytes calldata ownerSig, bytes calldata writerSig) external {
        _requireInTime(m.deadline);
        if (m.writer == address(0)) revert CommonErrors.ZeroAddress();
        Stream storage stream = _ownedStream(m.sid, m.owner);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signers.requireSigned(m.owner, digest, ownerSig);
        Signers.requireSigned(m.writer, digest, writerSig);

        _useNonce(m.owner, m.nonce);
        _setWriter(stream, m.sid, m.writer, m.streamKeyHash);
    }

    /// @inheritdoc IConsentRegistry
    function commit(StreamCommit calldata m, bytes calldata sig) external {
        Stream storage stream = _streams[m.sid];
        address writer = stream.writer;
        if (writer == address(0)) revert Errors.NoWriter(m.sid);
        uint64 next;
        unchecked {
            next = stream.epoch + 1; // one at a time: not to be counted to the end
        }
        if (m.epoch != next) revert Errors.EpochNotNext(m.sid, next, m.epoch);
        if (!Signers.isCaller(writer, sig)) {
            Signers.requireSigned(writer, _hashTypedDataV4(Messages.hash(m)), sig);
        }

        stream.epoch = next;

        emit Events.Committed(m.sid, next, m.commitHash);
    }

    /// @inheritdoc IConsentRegistry
    function transferStream(TransferStream calldata m, bytes calldata ownerSig, bytes calldata newOwnerSig) external {
        _requireInTime(m.deadline);
        if (m.newOwner == address(0)) revert CommonErrors.ZeroAddress();
        if (m.newOwner == m.owner) revert Errors.SameOwner(m.sid);
        Stream storage stream = _ownedStream(m.sid, m.owner);
        uint16 transfers = stream.transfers;
        if (transfers == type(uint16).max) revert Errors.TooManyTransfers(m.sid);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signers.requireSigned(m.owner, digest, ownerSig);
        Signers.requireSigned(m.newOwner, digest, newOwnerSig);

        _useNonce(m.owner, m.nonce);
        // One slot. The new owner's entries lie elsewhere; the count keeps the old ones dead should the stream return.
        stream.owner = m.newOwner;
        stream.transferredAt = uint40(block.timestamp);
        stream.transfers = transfers + 1;

        emit Events.StreamTransferred(m.sid, m.owner, m.newOwner);
    }

    /* DEVICES */

    /// @inheritdoc IConsentRegistry
    function pairDevice(
        PairDevice calldata m,
        address device,
        bytes32 salt,
        bytes calldata ownerSig,
        bytes calldata deviceSig
    ) external {
        _requireInTime(m.deadline);
        if (m.owner == address(0) || device == address(0)) revert CommonErrors.ZeroAddress();
        if (m.deviceHash != keccak256(abi.encode(salt, m.owner, device))) revert Errors.WrongDeviceHash(m.deviceHash);
        Pairing storage pairing = _pairings[m.deviceHash];
        if (pairing.owner != address(0)) revert Errors.AlreadyPaired(m.deviceHash);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signers.requireSigned(m.owner, digest, ownerSig);
        Signers.requireSigned(device, digest, deviceSig);

        _useNonce(m.owner, m.nonce);
        pairing.owner = m.owner;
        pairing.device = device;

        emit Events.DevicePaired(m.owner, m.deviceHash, device);
    }

    /// @inheritdoc IConsentRegistry
    function unpairDevice(UnpairDevice calldata m, bytes calldata sig) external {
        _requireInTime(m.deadline);
        Pairing memory pairing = _pairings[m.deviceHash];
        if (m.account == address(0) || (m.account != pairing.owner && m.account != pairing.device)) {
            revert Errors.NotPaired(m.deviceHash, m.account);
        }
        Signers.requireSigned(m.account, _hashTypedDataV4(Messages.hash(m)), sig);

        _useNonce(m.account, m.nonce);
        delete _pairings[m.deviceHash];
        for (uint256 i; i < m.sids.length; ++i) {
            // Never the streams of anybody else, whichever side signed.
            _setWriter(_ownedStream(m.sids[i], pairing.owner), m.sids[i], address(0), 0);
        }

        emit Events.DeviceUnpaired(pairing.owner, m.deviceHash);
    }

    /* CONSENT */

    /// @inheritdoc IConsentRegistry
    function grant(Grant calldata m, bytes calldata sig)
        external
        sensible(
            TermsWord.pack(m.reader, m.start, m.end), OriginWord.pack(m.owner, m.deadline, m.purposeTag), m.sids.length
        )
        returns (bytes32 grantId)
    {
        Terms terms = TermsWord.pack(m.reader, m.start, m.end);
        Origin origin = OriginWord.pack(m.owner, m.deadline, m.purposeTag);
        if (m.owner == address(0)) revert CommonErrors.ZeroAddress();
        grantId = _hashTypedDataV4(Messages.hash(m));
        Signers.requireSigned(m.owner, grantId, sig);

        _useNonce(m.owner, m.nonce);
        _record(grantId, terms, origin, m.readerKeyHash, m.textHash, m.sids);
    }

    /// @inheritdoc IConsentRegistry
    function grantShort(ShortGrant calldata m, bytes32[] calldata sids)
        external
        sensible(m.terms, m.origin, sids.length)
        returns (bytes32 grantId)
    {
        Terms terms = m.terms;
        Origin origin = m.origin;
        grantId = _hashTypedDataV4(Messages.hash(m, sids));
        if (!Signers.isKeys(origin.owner(), grantId, m.r, m.vs)) {
            Signers.requireCode(origin.owner(), grantId, m.r, m.vs);
        }

        _useNonce(origin.owner(), m.nonce);
        _record(grantId, terms, origin, m.readerKeyHash, m.textHash, sids);
    }

    /// @inheritdoc IConsentRegistry
    function revoke(Revoke calldata m, bytes calldata sig) external {
        if (!Signers.isCaller(m.account, sig)) {
            Signers.requireSigned(m.account, _hashTypedDataV4(Messages.hash(m)), sig);
        }
        _revoke(m.account, m.grantId, m.sid);
    }

    /// @inheritdoc IConsentRegistry
    function revokeDirect(bytes32 grantId, bytes32 sid) external {
        Entries.Slot storage entry = Entries.get(Keys.one(msg.sender, grantId, sid));
        if (entry.terms.isZero()) {
            _revoke(msg.sender, grantId, sid);
        } else {
            entry.terms = NO_TERMS;
            emit Events.Revoked(grantId, msg.sender, sid);
        }
    }

    /// @inheritdoc IConsentRegistry
    function registerKey(RegisterKey calldata m, bytes32 sid, bytes calldata sig) external {
        _requireInTime(m.deadline);
        Entry memory entry = _standing(m.grantId, sid);
        // Slots that have passed stay readable, but a grant that has ended needs no new key.
        if (entry.reader == address(0) || entry.end <= block.timestamp) revert Errors.GrantNotStanding(m.grantId, sid);
        // A foreign key here would have the stream sealed to a stranger.
        if (entry.reader != m.reader) revert Errors.NotParty(m.grantId, m.reader);
        Signers.requireSigned(m.reader, _hashTypedDataV4(Messages.hash(m)), sig);

        _useNonce(m.reader, m.nonce);

        emit Events.KeyRegistered(m.grantId, m.readerKeyHash);
    }

    /* BATCHES */

    /// @inheritdoc IConsentRegistry
    // A refused item is reported after its call; whoever is called back in it can only bring messages of its own.
    // slither-disable-next-line reentrancy-events
    function batch(bytes[] calldata calls) external {
        for (uint256 i; i < calls.length; ++i) {
            uint256 before = gasleft();
            if (before < ITEM_GAS_LEFT) revert CommonErrors.InsufficientGas(before);
            bytes calldata call = calls[i];
            if (!Calls.bringsMessage(call)) {
                emit CommonEvents.Rejected(keccak256(call), Errors.UnknownCall.selector);
                continue;
            }
            // A call into itself, so that whatever it did is undone when it fails; a delegatecall, so that the caller
            // stays the caller. It runs this very code, on this storage, and carries no value.
            (bool ok, bytes memory reason) = address(this).delegatecall(call);
            if (!ok) _reject(call, reason, before);
        }
    }

    /* VIEWS */

    /// @inheritdoc IConsentRegistry
    function streams(bytes32 sid) external view returns (Stream memory) {
        return _streams[sid];
    }

    /// @inheritdoc IConsentRegistry
    function isLive(bytes32 grantId, bytes32 sid, uint40 time) external view returns (bool) {
        Entry memory entry = _standing(grantId, sid);
        return entry.reader != address(0) && entry.start <= time && time < entry.end;
    }

    /// @inheritdoc IConsentRegistry
    function grantOf(bytes32 grantId, bytes32 sid) external view returns (Entry memory) {
        return Entries.get(Keys.one(_streams[sid].owner, grantId, sid)).terms.unpack();
    }

    /// @inheritdoc IConsentRegistry
    function isVoided(address account, bytes32 grantId, bytes32 sid) external view returns (bool) {
        return _voids[Keys.one(account, grantId, sid)];
    }

    /// @inheritdoc IConsentRegistry
    function pairingOf(bytes32 deviceHash) external view returns (Pairing memory) {
        return _pairings[deviceHash];
    }

    /// @inheritdoc IConsentRegistry
    function nonceUsed(address account, uint256 nonce) external view returns (bool) {
        return _nonces[account][nonce >> 8].value & (1 << (nonce & 0xff)) != 0;
    }

    /// @inheritdoc IConsentRegistry
    function digestOf(bytes calldata call) external view returns (bytes32) {
        return _hashTypedDataV4(Calls.structHash(call));
    }

    /* INTERNAL */

    /// @dev Reports a refused call, unless it may have failed for want of gas: then the whole batch reverts.
    function _reject(bytes calldata call, bytes memory reason, uint256 before) private {
        // forge-lint: disable-next-line(unsafe-typecast)
        bytes4 code = bytes4(reason); // the selector; the arguments do not fit the event
        // Running out shows as an empty reason with the call's 63/64 gone. A call that cannot be decoded leaves more.
        bool ranOut = reason.length == 0 && gasleft() < before / 32;
        if (ranOut || code == CommonErrors.InsufficientGas.selector) revert CommonErrors.InsufficientGas(gasleft());
        bytes32 digest = keccak256(call);
        try this.digestOf(call) returns (bytes32 typed) {
            digest = typed;
        } catch { }
        emit CommonEvents.Rejected(digest, code);
    }
}
