// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/interfaces/IConsentRegistry.sol";
import "../../src/libraries/Constants.sol";
import { Base, CommonEvents, IRegistry } from "../Base.sol";
import { Log } from "../Vm.sol";

/// @dev Signs messages, keeps them, and brings them in any order, any number of times, singly and in batches, from
/// anybody. Beside the registry it keeps its own account of what should be true, by the plainest rule: a set of grants
/// recorded and a set of revocations accepted, without regard to their order.
contract Handler is Base {
    struct Kept {
        Grant message;
        bytes signature;
        bytes32 id;
    }

    uint256 internal constant PEOPLE = 4;
    uint256 internal constant STREAMS = 3;

    uint256[] public keys;
    bytes32[] public sids;
    Kept[] private _kept;
    Revoke[] private _revokes;
    bytes[] private _revokeSignatures;

    mapping(bytes32 => address) public ownerOf;
    mapping(bytes32 => uint256) public transfersOf;
    mapping(bytes32 => uint64) public epochOf;
    mapping(bytes32 id => mapping(bytes32 sid => uint256)) public transfersAt;
    mapping(address account => mapping(bytes32 id => mapping(bytes32 sid => bool))) public revoked;
    mapping(address account => mapping(uint256 nonce => uint256)) public timesUsed;
    mapping(bytes32 id => bool) public calledByOwner;
    mapping(bytes32 id => bool) public recorded;
    uint256 public mostUses;

    constructor(IRegistry registry_) {
        registry = registry_;
        for (uint256 i; i < PEOPLE; ++i) {
            keys.push(0x1000 + i);
        }
        writer = vm.addr(WRITER_KEY);
        for (uint256 i; i < STREAMS; ++i) {
            RegisterStream memory m = aStream();
            (m.owner, m.nameHash) = (person(i), bytes32(i));
            sids.push(registry.registerStream(m, sign(keys[i], digest(m)), sign(WRITER_KEY, digest(m))));
            ownerOf[sids[i]] = m.owner;
            count(m.owner, m.nonce);
        }
    }

    function setUp() public override { }

    function person(uint256 i) public view returns (address) {
        return vm.addr(keys[i % PEOPLE]);
    }

    function count(address account, uint256 nonce) private {
        uint256 uses = ++timesUsed[account][nonce];
        if (uses > mostUses) mostUses = uses;
    }

    function recordGrant(Kept storage kept) private {
        recorded[kept.id] = true;
        count(kept.message.owner, kept.message.nonce);
        for (uint256 i; i < kept.message.sids.length; ++i) {
            transfersAt[kept.id][kept.message.sids[i]] = transfersOf[kept.message.sids[i]];
        }
    }

    /* ACTIONS */

    /// @dev Anybody signs a grant over any streams, own or not, as whoever they claim to be.
    function signGrant(uint8 signer, uint8 claimed, uint8 reader_, uint8 which, uint16 from, uint16 length, uint8 nonce)
        external
    {
        // Most people speak for themselves.
        if (claimed % 4 != 0) claimed = signer;
        Grant memory m = aGrant(sids[which % STREAMS]);
        if (which & 0x80 != 0) m.sids = two(sids[which % STREAMS], sids[(uint256(which) + 1) % STREAMS]);
        (m.owner, m.reader) = (person(claimed), person(reader_));
        m.start = uint40(block.timestamp) + from % 2000;
        m.end = m.start + 1 + length % 4000;
        // Few nonces, so that they collide.
        m.nonce = nonce % 64 + 1000;
        m.deadline = uint40(block.timestamp) + 5000;
        bytes32 id = digest(m);
        _kept.push(Kept(m, sign(keys[signer % PEOPLE], id), id));
    }

    /// @dev An honest grant of the present owner, so that many are live.
    function signOwnGrant(uint8 which, uint8 reader_, uint8 nonce) external {
        bytes32 sid = sids[which % STREAMS];
        Grant memory m = aGrant(sid);
        (m.owner, m.reader) = (ownerOf[sid], person(reader_));
        m.start = uint40(block.timestamp);
        m.nonce = nonce % 64 + 2000;
        bytes32 id = digest(m);
        _kept.push(Kept(m, sign(keyOf(m.owner), id), id));
    }

    function keyOf(address account) private view returns (uint256) {
        for (uint256 i; i < PEOPLE; ++i) {
            if (person(i) == account) return keys[i];
        }
        revert Failed("nobody");
    }

    function bringGrant(uint256 which, uint8 carrier) external {
        if (_kept.length == 0) return;
        Kept storage kept = _kept[which % _kept.length];
        vm.prank(person(carrier));
        try registry.grant(kept.message, kept.signature) {
            recordGrant(kept);
        } catch { }
    }

    function bringGrantShort(uint256 which, uint8 carrier) external {
        if (_kept.length == 0) return;
        Kept storage kept = _kept[which % _kept.length];
        vm.prank(person(carrier));
        try registry.grantShort(short(kept.message, kept.signature), kept.message.sids) {
            recordGrant(kept);
        } catch { }
    }

    function bringGrantAsCaller(uint256 which, uint8 carrier) external {
        if (_kept.length == 0) return;
        Kept storage kept = _kept[which % _kept.length];
        vm.prank(person(carrier));
        try registry.grant(kept.message, "") {
            calledByOwner[kept.id] = calledByOwner[kept.id] || person(carrier) == kept.message.owner;
            recordGrant(kept);
        } catch { }
    }

    function bringBatch(uint256 a, uint256 b, uint256 c) external {
        if (_kept.length == 0) return;
        uint256[3] memory chosen = [a % _kept.length, b % _kept.length, c % _kept.length];
        bytes[] memory items = new bytes[](3);
        for (uint256 i; i < 3; ++i) {
            Kept storage kept = _kept[chosen[i]];
            items[i] = i == 1
                ? abi.encodeCall(registry.grant, (kept.message, kept.signature))
                : abi.encodeCall(registry.grantShort, (short(kept.message, kept.signature), kept.message.sids));
        }
        vm.recordLogs();
        registry.batch(items);
        Log[] memory logs = vm.getRecordedLogs();
        check(logs.length == 3, "each item is recorded or refused, once");
        for (uint256 i; i < 3; ++i) {
            if (logs[i].topics[0] == CommonEvents.Rejected.selector) continue;
            check(logs[i].topics[1] == _kept[chosen[i]].id, "in their order");
            recordGrant(_kept[chosen[i]]);
        }
    }

    /// @dev Anybody revokes anything: known or not, theirs or not, one stream or all.
    function revoke(uint8 who, uint256 which, uint8 stream, bool all) external {
        if (_kept.length == 0) return;
        bytes32 sid = all ? bytes32(0) : sids[stream % STREAMS];
        Revoke memory m = Revoke(person(who), _kept[which % _kept.length].id, sid);
        _revokes.push(m);
        _revokeSignatures.push(sign(keys[who % PEOPLE], digest(m)));
        bring(_revokes.length - 1);
    }

    function revokeDirect(uint8 who, uint256 which, uint8 stream, bool all) external {
        if (_kept.length == 0) return;
        bytes32 sid = all ? bytes32(0) : sids[stream % STREAMS];
        bytes32 id = _kept[which % _kept.length].id;
        vm.prank(person(who));
        try registry.revokeDirect(id, sid) {
            revoked[person(who)][id][sid] = true;
        } catch { }
    }

    function replayRevoke(uint256 which) external {
        if (_revokes.length != 0) bring(which % _revokes.length);
    }

    function bring(uint256 which) private {
        Revoke memory m = _revokes[which];
        try registry.revoke(m, _revokeSignatures[which]) {
            revoked[m.account][m.grantId][m.sid] = true;
        } catch { }
    }

    function transfer(uint8 which, uint8 to) external {
        bytes32 sid = sids[which % STREAMS];
        address from = ownerOf[sid];
        if (person(to) == from) return;
        TransferStream memory m = aTransfer(sid, from, person(to));
        m.nonce += 10_000;
        registry.transferStream(m, sign(keyOf(from), digest(m)), sign(keys[to % PEOPLE], digest(m)));
        count(from, m.nonce);
        ownerOf[sid] = m.newOwner;
        ++transfersOf[sid];
    }

    function commit(uint8 which, uint64 epoch) external {
        bytes32 sid = sids[which % STREAMS];
        if (epoch % 3 != 0) epoch = epochOf[sid] + 1;
        StreamCommit memory m = StreamCommit(sid, epoch, bytes32(uint256(epoch)));
        try registry.commit(m, sign(WRITER_KEY, digest(m))) {
            check(epoch == ++epochOf[sid], "one commit for each epoch, in order");
        } catch { }
    }

    function pass(uint16 time) external {
        vm.warp(block.timestamp + time % 1500);
    }

    /* WHAT SHOULD BE TRUE */

    function kept_() external view returns (uint256) {
        return _kept.length;
    }

    function isRevoked(address account, bytes32 id, bytes32 sid) private view returns (bool) {
        return revoked[account][id][0] || revoked[account][id][sid];
    }

    /// @dev Whether kept grant `which` should be live for a stream at a time.
    function shouldBeLive(uint256 which, bytes32 sid, uint40 time) public view returns (bool) {
        Kept storage kept = _kept[which];
        Grant storage m = kept.message;
        bool named;
        for (uint256 i; i < m.sids.length; ++i) {
            named = named || m.sids[i] == sid;
        }
        return named && recorded[kept.id] && m.start <= time && time < m.end && ownerOf[sid] == m.owner
            && transfersAt[kept.id][sid] == transfersOf[sid] && !isRevoked(m.owner, kept.id, sid)
            && !isRevoked(m.reader, kept.id, sid);
    }

    /// @return id The grant's id.
    /// @return owner_ Whom it claims as owner.
    /// @return byOwner Whether that owner signed some copy of it, or called with it.
    function keptAt(uint256 which) external view returns (bytes32 id, address owner_, bool byOwner) {
        (id, owner_) = (_kept[which].id, _kept[which].message.owner);
        byOwner = calledByOwner[id];
        for (uint256 i; i < _kept.length && !byOwner; ++i) {
            if (_kept[i].id != id) continue;
            (bytes32 r, bytes32 s, uint8 v) = split(_kept[i].signature);
            byOwner = ecrecover(id, v, r, s) == owner_;
        }
    }
}
