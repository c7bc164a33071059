// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Grant, Revoke } from "../src/interfaces/IConsentRegistry.sol";
import { Base, Errors, Events } from "./Base.sol";
import { Log } from "./Vm.sol";

contract RevokeTest is Base {
    bytes32 private sid;
    bytes32 private other;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
        other = registerStream("other");
    }

    function test_theOwnerEndsOneStream() public {
        bytes32 id = give(aGrant(two(sid, other)));
        Revoke memory m = Revoke(owner, id, sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        vm.expectEmit(address(registry));
        emit Events.Revoked(id, owner, sid);
        registry.revoke(m, sig);
        check(!live(id, sid) && live(id, other), "one");
        check(registry.grantOf(id, sid).reader == address(0), "the slot is free");
    }

    function test_theReaderEndsOneStream() public {
        bytes32 id = give(aGrant(two(sid, other)));
        revokeBy(READER_KEY, id, sid);
        check(!live(id, sid) && live(id, other), "one");
    }

    function test_eitherEndsAllAtOnce() public {
        bytes32 first = give(aGrant(two(sid, other)));
        bytes32 second = give(aGrant(two(sid, other)));
        revokeBy(OWNER_KEY, first, 0);
        revokeBy(READER_KEY, second, 0);
        check(!live(first, sid) && !live(first, other) && !live(second, sid) && !live(second, other), "all");
    }

    function test_eitherMayCall() public {
        bytes32 first = give(aGrant(sid));
        bytes32 second = give(aGrant(sid));
        vm.prank(owner);
        registry.revoke(Revoke(owner, first, sid), "");
        vm.prank(reader);
        registry.revoke(Revoke(reader, second, sid), "");
        check(!live(first, sid) && !live(second, sid), "ended");
    }

    function test_aheadOfTheGrantByEitherForOneOrAll() public {
        for (uint256 which; which < 4; ++which) {
            Grant memory m = aGrant(two(sid, other));
            bytes32 id = digest(m);
            bool all = which & 2 != 0;
            revokeBy(which & 1 == 0 ? OWNER_KEY : READER_KEY, id, all ? bytes32(0) : sid);
            give(m);
            check(!live(id, sid), "never live");
            check(live(id, other) == !all, "the other stream only if it was not meant");
        }
    }

    function test_isFinal() public {
        bytes32 id = give(aGrant(sid));
        revokeBy(OWNER_KEY, id, sid);
        vm.warp(NOW + 300 days);
        check(!live(id, sid) && !registry.isLive(id, sid, NOW), "at no time");
    }

    function test_idempotentHoweverOftenAndByWhom() public {
        bytes32 id = give(aGrant(sid));
        Revoke memory m = Revoke(owner, id, sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        vm.recordLogs();
        for (uint256 i; i < 4; ++i) {
            vm.prank(i % 2 == 0 ? stranger : owner);
            registry.revoke(m, sig);
            check(!live(id, sid), "stays ended");
        }
        Log[] memory logs = vm.getRecordedLogs();
        // Once for the entry, once for the mark that stays behind, then never again.
        check(logs.length == 2, "replays end in silence");
        revokeBy(READER_KEY, id, sid);
        revokeBy(READER_KEY, id, 0);
        revokeBy(OWNER_KEY, id, 0);
        check(!live(id, sid), "stays ended");
    }

    function test_aStrangerToAKnownGrantIsRefused() public {
        bytes32 id = give(aGrant(sid));
        Revoke memory m = Revoke(stranger, id, sid);
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.NotParty.selector, id, stranger));
        registry.revoke(m, sig);
        check(live(id, sid), "live");
    }

    function test_aStrangersMarksMeanNothing() public {
        // Whoever sees a grant on its way may bring this first; it must not stop the grant.
        Grant memory m = aGrant(sid);
        bytes32 id = digest(m);
        revokeBy(STRANGER_KEY, id, sid);
        revokeBy(STRANGER_KEY, id, 0);
        revokeBy(WRITER_KEY, id, 0);
        give(m);
        check(live(id, sid), "live");
        revokeBy(STRANGER_KEY, id, 0);
        check(live(id, sid), "still live");
    }

    function test_forgeriesAreRefused() public {
        bytes32 id = give(aGrant(sid));
        Revoke memory m = Revoke(owner, id, sid);
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        registry.revoke(m, sig);
        vm.expectRevert(wrongSigner(owner));
        registry.revoke(m, "");
        bytes memory forOther = sign(OWNER_KEY, digest(Revoke(owner, id, other)));
        vm.expectRevert(wrongSigner(owner));
        registry.revoke(m, forOther);
    }

    function test_oneGrantOnly() public {
        bytes32 first = give(aGrant(sid));
        bytes32 second = give(aGrant(sid));
        revokeBy(OWNER_KEY, first, 0);
        check(live(second, sid), "a new consent is a new id");
    }

    function testFuzz_theOrderDoesNotMatter(uint256 order, uint8 who, bool all) public {
        Grant memory m = aGrant(two(sid, other));
        bytes32 id = digest(m);
        uint256 key = who % 3 == 0 ? OWNER_KEY : who % 3 == 1 ? READER_KEY : STRANGER_KEY;
        bytes32 meant = all ? bytes32(0) : sid;
        Revoke memory r = Revoke(vm.addr(key), id, meant);
        bytes memory sig = sign(key, digest(r));
        if (order % 2 == 0) {
            try registry.revoke(r, sig) { } catch { }
            give(m);
        } else {
            give(m);
            try registry.revoke(r, sig) { } catch { }
        }
        bool counts = key != STRANGER_KEY;
        check(live(id, sid) == !counts, "the stream meant");
        check(live(id, other) == !(counts && all), "the other");
    }
}
