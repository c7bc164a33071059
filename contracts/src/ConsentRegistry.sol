// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {
    Entry,
    Grant,
    IConsentRegistry,
    Item,
    PairDevice,
    Pairing,
    RegisterKey,
    RegisterStream,
    Revoke,
    SetWriter,
    Stream,
    StreamCommit,
    TransferStream,
    UnpairDevice
} from "./interfaces/IConsentRegistry.sol";
import { ITEM_GAS_LEFT } from "./libraries/Constants.sol";
import { Entries } from "./libraries/Entries.sol";
import { Errors } from "./libraries/Errors.sol";
import { Events } from "./libraries/Events.sol";
import { Items } from "./libraries/Items.sol";
import { Messages } from "./libraries/Messages.sol";
import { Signatures } from "./libraries/Signatures.sol";

/// @title ConsentRegistry
/// @notice See {IConsentRegistry}.
contract ConsentRegistry is IConsentRegistry, EIP712 {
    /* STORAGE */

    mapping(bytes32 sid => Stream) private _streams;

    /// @dev Entries, by `keccak256(owner, grantId, sid)`. With the owner in the key, an owner's revocation needs no
    /// other slot to know that it is one, and a transfer leaves the former owner's grants where nobody looks. Revoking
    /// clears the slot; the grant cannot come back, because its nonce is used.
    mapping(bytes32 key => uint256 word) private _entries;

    /// @dev By `keccak256(account, grantId, sid)`, `sid = 0` for all: revocations that found no entry to clear.
    mapping(bytes32 key => bool) private _voids;

    mapping(bytes32 deviceHash => Pairing) private _pairings;

    /// @dev 256 nonces to a word. Unordered, so that no message has to wait for another.
    mapping(address account => mapping(uint256 word => uint256 bits)) private _nonces;

    constructor() EIP712("Wattpact ConsentRegistry", "1") { }

    /* STREAMS */

    /// @inheritdoc IConsentRegistry
    function registerStream(RegisterStream calldata m, bytes calldata ownerSig, bytes calldata writerSig)
        external
        returns (bytes32 sid)
    {
        _requireInTime(m.deadline);
        if (m.slotSeconds == 0) revert Errors.ZeroSlot();
        if (m.owner == address(0) || m.writer == address(0)) revert Errors.ZeroAddress();
        sid = keccak256(abi.encode(block.chainid, address(this), m.owner, m.nameHash));
        Stream storage stream = _streams[sid];
        if (stream.owner != address(0)) revert Errors.StreamExists(sid);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signatures.requireSigned(m.owner, digest, ownerSig);
        Signatures.requireSigned(m.writer, digest, writerSig);

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
        if (m.writer == address(0)) revert Errors.ZeroAddress();
        Stream storage stream = _ownedStream(m.sid, m.owner);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signatures.requireSigned(m.owner, digest, ownerSig);
        Signatures.requireSigned(m.writer, digest, writerSig);

        _useNonce(m.owner, m.nonce);
        _setWriter(stream, m.sid, m.writer, m.streamKeyHash);
    }

    /// @inheritdoc IConsentRegistry
    function commit(StreamCommit calldata m, bytes calldata sig) external {
        Stream storage stream = _streams[m.sid];
        address writer = stream.writer;
        if (writer == address(0)) revert Errors.NoWriter(m.sid);
        uint64 next = stream.epoch + 1;
        if (m.epoch != next) revert Errors.EpochNotNext(m.sid, next, m.epoch);
        if (!Signatures.isCaller(writer, sig)) {
            Signatures.requireSigned(writer, _hashTypedDataV4(Messages.hash(m)), sig);
        }

        stream.epoch = next;

        emit Events.Committed(m.sid, next, m.commitHash);
    }

    /// @inheritdoc IConsentRegistry
    function transferStream(TransferStream calldata m, bytes calldata ownerSig, bytes calldata newOwnerSig) external {
        _requireInTime(m.deadline);
        if (m.newOwner == address(0)) revert Errors.ZeroAddress();
        if (m.newOwner == m.owner) revert Errors.SameOwner(m.sid);
        Stream storage stream = _ownedStream(m.sid, m.owner);
        uint16 transfers = stream.transfers;
        if (transfers == type(uint16).max) revert Errors.TooManyTransfers(m.sid);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signatures.requireSigned(m.owner, digest, ownerSig);
        Signatures.requireSigned(m.newOwner, digest, newOwnerSig);

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
        if (m.owner == address(0) || device == address(0)) revert Errors.ZeroAddress();
        if (m.deviceHash != keccak256(abi.encode(salt, m.owner, device))) revert Errors.WrongDeviceHash(m.deviceHash);
        Pairing storage pairing = _pairings[m.deviceHash];
        if (pairing.owner != address(0)) revert Errors.AlreadyPaired(m.deviceHash);
        bytes32 digest = _hashTypedDataV4(Messages.hash(m));
        Signatures.requireSigned(m.owner, digest, ownerSig);
        Signatures.requireSigned(device, digest, deviceSig);

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
        Signatures.requireSigned(m.account, _hashTypedDataV4(Messages.hash(m)), sig);

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
    function grant(Grant calldata m, bytes calldata sig) external returns (bytes32 grantId) {
        _requireInTime(m.deadline);
        if (m.start >= m.end) revert Errors.EmptyInterval(m.start, m.end);
        if (m.reader == address(0)) revert Errors.ZeroAddress();
        if (m.sids.length == 0) revert Errors.NoStreams();
        grantId = _hashTypedDataV4(Messages.hash(m));
        Signatures.requireSigned(m.owner, grantId, sig);

        _useNonce(m.owner, m.nonce);
        for (uint256 i; i < m.sids.length; ++i) {
            _enter(m, grantId, m.sids[i]);
        }

        emit Events.Granted(
            grantId, m.owner, m.reader, m.readerKeyHash, m.sids, m.start, m.end, m.purposeTag, m.textHash
        );
    }

    /// @inheritdoc IConsentRegistry
    function revoke(Revoke calldata m, bytes calldata sig) external {
        if (!Signatures.isCaller(m.account, sig)) {
            Signatures.requireSigned(m.account, _hashTypedDataV4(Messages.hash(m)), sig);
        }

        bytes32 key = _key(m.account, m.grantId, m.sid);
        if (_entries[key] != 0) {
            delete _entries[key];
        } else if (m.sid == 0 || !_clearAsReader(m)) {
            // Nothing to clear: the grant is not known, or all of it is meant, or it was revoked before.
            if (_voids[key]) return;
            _voids[key] = true;
        }

        emit Events.Revoked(m.grantId, m.account, m.sid);
    }

    /// @inheritdoc IConsentRegistry
    function registerKey(RegisterKey calldata m, bytes32 sid, bytes calldata sig) external {
        _requireInTime(m.deadline);
        Entry memory entry = _standing(m.grantId, sid);
        // Slots that have passed stay readable, but a grant that has ended needs no new key.
        if (entry.reader == address(0) || entry.end <= block.timestamp) revert Errors.GrantNotStanding(m.grantId, sid);
        // A foreign key here would have the stream sealed to a stranger.
        if (entry.reader != m.reader) revert Errors.NotParty(m.grantId, m.reader);
        Signatures.requireSigned(m.reader, _hashTypedDataV4(Messages.hash(m)), sig);

        _useNonce(m.reader, m.nonce);

        emit Events.KeyRegistered(m.grantId, m.readerKeyHash);
    }

    /* BATCHES */

    /// @inheritdoc IConsentRegistry
    function batch(Item[] calldata items) external {
        for (uint256 i; i < items.length; ++i) {
            uint256 before = gasleft();
            if (before < ITEM_GAS_LEFT) revert Errors.InsufficientGas(before);
            bytes memory data = Items.toCall(items[i]);
            if (data.length == 0) {
                emit Events.Rejected(keccak256(items[i].message), Errors.UnknownKind.selector);
                continue;
            }
            // A call into itself, so that whatever an item did is undone when it fails; a delegatecall, so that the
            // caller stays the caller. It runs this very code, on this storage, and carries no value.
            (bool ok, bytes memory reason) = address(this).delegatecall(data);
            if (!ok) _reject(items[i], reason, before);
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
        return Entries.unpack(_entries[_key(_streams[sid].owner, grantId, sid)]);
    }

    /// @inheritdoc IConsentRegistry
    function isVoided(address account, bytes32 grantId, bytes32 sid) external view returns (bool) {
        return _voids[_key(account, grantId, sid)];
    }

    /// @inheritdoc IConsentRegistry
    function pairingOf(bytes32 deviceHash) external view returns (Pairing memory) {
        return _pairings[deviceHash];
    }

    /// @inheritdoc IConsentRegistry
    function nonceUsed(address account, uint256 nonce) external view returns (bool) {
        return _nonces[account][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /// @inheritdoc IConsentRegistry
    function digestOf(uint8 kind, bytes calldata message) public view returns (bytes32) {
        return _hashTypedDataV4(Items.structHash(kind, message));
    }

    /* INTERNAL */

    function _requireInTime(uint40 deadline) private view {
        if (block.timestamp > deadline) revert Errors.DeadlinePassed(deadline);
    }

    function _useNonce(address account, uint256 nonce) private {
        uint256 word = _nonces[account][nonce >> 8];
        uint256 bit = 1 << (nonce & 0xff);
        if (word & bit != 0) revert Errors.NonceUsed(account, nonce);
        _nonces[account][nonce >> 8] = word | bit;
    }

    function _ownedStream(bytes32 sid, address owner) private view returns (Stream storage stream) {
        stream = _streams[sid];
        if (stream.owner == address(0)) revert Errors.StreamUnknown(sid);
        if (stream.owner != owner) revert Errors.NotStreamOwner(sid, owner);
    }

    function _setWriter(Stream storage stream, bytes32 sid, address writer, bytes32 streamKeyHash) private {
        stream.writer = writer;
        stream.streamKeyHash = streamKeyHash;
        emit Events.WriterSet(sid, writer, streamKeyHash);
    }

    function _key(address account, bytes32 grantId, bytes32 sid) private pure returns (bytes32) {
        return keccak256(abi.encode(account, grantId, sid));
    }

    /// @dev Records a grant for one of its streams.
    function _enter(Grant calldata m, bytes32 grantId, bytes32 sid) private {
        Stream storage stream = _ownedStream(sid, m.owner);
        if (m.start < stream.transferredAt) revert Errors.StartBeforeTransfer(sid, m.start, stream.transferredAt);
        bytes32 key = _key(m.owner, grantId, sid);
        // The nonce admits each grant once, so an entry can only be there because the same message named it before.
        if (_entries[key] != 0) revert Errors.StreamTwice(sid);
        _entries[key] = Entries.pack(Entry(m.reader, m.start, m.end, stream.transfers));
    }

    /// @dev Clears the entry if `m.account` is its reader; false if there is none. A stranger to a known grant is
    /// refused.
    function _clearAsReader(Revoke calldata m) private returns (bool) {
        bytes32 key = _key(_streams[m.sid].owner, m.grantId, m.sid);
        address reader = Entries.readerOf(_entries[key]);
        if (reader == address(0)) return false;
        if (reader != m.account) revert Errors.NotParty(m.grantId, m.account);
        delete _entries[key];
        return true;
    }

    /// @dev The entry of a grant for a stream, or an empty one if a transfer or a revocation by either party ended it.
    function _standing(bytes32 grantId, bytes32 sid) private view returns (Entry memory entry) {
        Stream storage stream = _streams[sid];
        address owner = stream.owner;
        entry = Entries.unpack(_entries[_key(owner, grantId, sid)]);
        bool revoked = _isVoid(owner, grantId, sid) || _isVoid(entry.reader, grantId, sid);
        if (revoked || entry.transfers != stream.transfers) delete entry;
    }

    function _isVoid(address account, bytes32 grantId, bytes32 sid) private view returns (bool) {
        return _voids[_key(account, grantId, 0)] || _voids[_key(account, grantId, sid)];
    }

    /// @dev Reports a refused item, unless it may have failed for want of gas: then the whole batch reverts.
    function _reject(Item calldata item, bytes memory reason, uint256 before) private {
        // forge-lint: disable-next-line(unsafe-typecast)
        bytes4 code = bytes4(reason); // the selector; the arguments do not fit the event
        // Running out shows as an empty reason with the item's 63/64 gone. A message that cannot be decoded leaves
        // more.
        bool ranOut = reason.length == 0 && gasleft() < before / 32;
        if (ranOut || code == Errors.InsufficientGas.selector) revert Errors.InsufficientGas(gasleft());
        bytes32 digest = keccak256(item.message);
        try this.digestOf(item.kind, item.message) returns (bytes32 typed) {
            digest = typed;
        } catch { }
        emit Events.Rejected(digest, code);
    }
}
