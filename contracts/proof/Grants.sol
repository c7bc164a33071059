// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Records } from "../src/base/Records.sol";
import { Entry } from "../src/interfaces/IConsentRegistry.sol";
import { Origin, OriginWord, Terms, TermsWord } from "../src/libraries/Words.sol";

/// @dev grant liveness. Over everything that the registry keeps; that the account wants what it is
/// said to want is checked before, by the signature. Streams and grants are any.
contract GrantsProof is Records {
    function record(bytes32 grantId, address owner, address reader, uint40 start, uint40 end, bytes32[] calldata sids)
        external
    {
        Terms terms = TermsWord.pack(reader, start, end);
        Origin origin = OriginWord.pack(owner, 0, 0);
        _record(grantId, terms, origin, 0, 0, sids);
    }

    function revoke(address account, bytes32 grantId, bytes32 sid) external {
        _revoke(account, grantId, sid);
    }

    function tryRevoke(address account, bytes32 grantId, bytes32 sid) private {
        try this.revoke(account, grantId, sid) { } catch { }
    }

    function tryRecord(bytes32 grantId, address owner, address reader, uint40 start, uint40 end, bytes32 sid) private {
        bytes32[] memory sids = new bytes32[](1);
        sids[0] = sid;
        try this.record(grantId, owner, reader, start, end, sids) { } catch { }
    }

    function stream(bytes32 sid, address owner) private {
        _streams[sid].owner = owner;
    }

    function isLive(bytes32 grantId, bytes32 sid, uint40 time) private view returns (bool) {
        Entry memory entry = _standing(grantId, sid);
        return entry.reader != address(0) && entry.start <= time && time < entry.end;
    }

    function check_anExpiredGrantIsNotLive(
        bytes32 grantId,
        bytes32 sid,
        address owner,
        address reader,
        uint40 start,
        uint40 end,
        uint40 time
    ) public {
        stream(sid, owner);
        tryRecord(grantId, owner, reader, start, end, sid);
        if (time >= end || time < start) assert(!isLive(grantId, sid, time));
    }

    /// @dev By its owner, for the one stream or for all, before or after the grant came.
    function check_aRevokedGrantIsNeverLive(
        bytes32 grantId,
        bytes32 sid,
        address owner,
        address reader,
        bool byReader,
        bool all,
        bool ahead,
        uint40 time
    ) public {
        if (owner == address(0) || reader == address(0) || sid == 0) return;
        stream(sid, owner);
        if (!ahead) tryRecord(grantId, owner, reader, 0, type(uint40).max, sid);
        tryRevoke(byReader ? reader : owner, grantId, all ? bytes32(0) : sid);
        if (ahead) tryRecord(grantId, owner, reader, 0, type(uint40).max, sid);
        assert(!isLive(grantId, sid, time));
    }

    /// @dev A stranger's revocation ends nothing.
    function check_aStrangerRevokesNothing(
        bytes32 grantId,
        bytes32 sid,
        address owner,
        address reader,
        address stranger,
        bool all,
        uint40 time
    ) public {
        if (stranger == owner || stranger == reader || owner == address(0) || sid == 0) return;
        stream(sid, owner);
        tryRecord(grantId, owner, reader, 0, type(uint40).max, sid);
        bool before = isLive(grantId, sid, time);
        tryRevoke(stranger, grantId, all ? bytes32(0) : sid);
        assert(isLive(grantId, sid, time) == before);
    }

    /// @dev Whatever is recorded in another account's name gives nothing of this owner's stream.
    function check_nobodyButTheOwnerGrants(
        bytes32 grantId,
        bytes32 sid,
        address owner,
        address other,
        address reader,
        uint40 time
    ) public {
        if (owner == other) return;
        stream(sid, owner);
        tryRecord(grantId, other, reader, 0, type(uint40).max, sid);
        assert(!isLive(grantId, sid, time));
    }

    /// @dev A transfer ends all grants, and they stay dead when the stream comes back.
    function check_aTransferEndsAllGrants(
        bytes32 grantId,
        bytes32 sid,
        address owner,
        address heir,
        address reader,
        bool back,
        uint40 time
    ) public {
        if (owner == heir) return;
        stream(sid, owner);
        tryRecord(grantId, owner, reader, 0, type(uint40).max, sid);
        _streams[sid].owner = heir;
        ++_streams[sid].transfers;
        if (back) {
            _streams[sid].owner = owner;
            ++_streams[sid].transfers;
        }
        assert(!isLive(grantId, sid, time));
    }
}
