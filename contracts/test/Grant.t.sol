// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Entry, Grant } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors, Errors, Events } from "./Base.sol";

contract GrantTest is Base {
    bytes32 private sid;
    bytes32 private other;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
        other = registerStream("other");
    }

    function test_recordsAnEntryForEachStreamAndEmits() public {
        Grant memory m = aGrant(two(sid, other));
        bytes32 id = digest(m);
        bytes memory sig = sign(OWNER_KEY, id);
        uint256 terms = uint256(m.start) | uint256(m.end) << 40 | uint256(m.purposeTag) << 80;
        vm.expectEmit(address(registry));
        emit Events.Granted(id, owner, reader, m.readerKeyHash, m.textHash, terms, m.sids);
        check(registry.grant(m, sig) == id, "the id is the digest");
        check(live(id, sid) && live(id, other), "live");
        Entry memory e = registry.grantOf(id, other);
        check(e.reader == reader && e.start == m.start && e.end == m.end && e.transfers == 0, "entry");
    }

    function testFuzz_liveFromStartUntilEnd(uint40 start, uint40 end, uint40 time) public {
        vm.assume(start < end);
        Grant memory m = aGrant(sid);
        (m.start, m.end) = (start, end);
        bytes32 id = give(m);
        check(registry.isLive(id, sid, time) == (start <= time && time < end), "interval");
        check(!registry.isLive(id, other, time), "not for a stream that it does not name");
        Entry memory e = registry.grantOf(id, sid);
        check(e.reader == reader && e.start == start && e.end == end, "packing");
    }

    function test_theIntervalIsHalfOpen() public {
        Grant memory m = aGrant(sid);
        (m.start, m.end) = (NOW + 10, NOW + 20);
        bytes32 id = give(m);
        check(!registry.isLive(id, sid, NOW + 9) && registry.isLive(id, sid, NOW + 10), "from the start");
        check(registry.isLive(id, sid, NOW + 19) && !registry.isLive(id, sid, NOW + 20), "until the end");
    }

    function test_theIdCoversEveryField() public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        Grant memory changed;
        for (uint256 field; field < 9; ++field) {
            changed = abi.decode(abi.encode(m), (Grant));
            if (field == 0) changed.reader = stranger;
            if (field == 1) changed.readerKeyHash = keccak256("other key");
            if (field == 2) changed.sids = two(sid, other);
            if (field == 3) changed.start -= 1;
            if (field == 4) changed.end -= 1;
            if (field == 5) changed.purposeTag = 8;
            if (field == 6) changed.textHash = keccak256("other text");
            if (field == 7) changed.nonce += 1;
            if (field == 8) changed.deadline += 1;
            vm.expectRevert(wrongSigner(owner));
            registry.grant(changed, sig);
        }
        changed = abi.decode(abi.encode(m), (Grant));
        changed.owner = stranger;
        vm.expectRevert(wrongSigner(stranger));
        registry.grant(changed, sig);
        registry.grant(m, sig);
    }

    function test_onlyTheOwnerOfEveryStreamNamed() public {
        Grant memory m = aGrant(sid);
        m.owner = stranger;
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.NotStreamOwner.selector, sid, stranger));
        registry.grant(m, sig);
        m = aGrant(two(sid, keccak256("nowhere")));
        sig = sign(OWNER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.StreamUnknown.selector, m.sids[1]));
        registry.grant(m, sig);
        check(registry.grantOf(digest(m), sid).reader == address(0), "all or nothing");
    }

    function test_theReaderCannotGrantItself() public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(READER_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        registry.grant(m, sig);
        vm.prank(reader);
        vm.expectRevert(wrongSigner(owner));
        registry.grant(m, "");
        m.owner = reader;
        vm.prank(reader);
        vm.expectRevert(abi.encodeWithSelector(Errors.NotStreamOwner.selector, sid, reader));
        registry.grant(m, "");
    }

    function test_theOwnerMayCall() public {
        Grant memory m = aGrant(sid);
        vm.prank(owner);
        check(live(registry.grant(m, ""), sid), "live");
    }

    function test_neverTwice() public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        bytes32 id = registry.grant(m, sig);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        registry.grant(m, sig);
        revokeBy(OWNER_KEY, id, sid);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        registry.grant(m, sig);
        check(!live(id, sid), "revoked is final");
    }

    function test_refusesNonsense() public {
        Grant memory m = aGrant(sid);
        m.end = m.start;
        vm.expectRevert(abi.encodeWithSelector(Errors.EmptyInterval.selector, m.start, m.end));
        registry.grant(m, "");
        m = aGrant(sid);
        m.reader = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.grant(m, "");
        m = aGrant(sid);
        m.owner = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.grant(m, new bytes(65));
        m = aGrant(new bytes32[](0));
        vm.expectRevert(Errors.NoStreams.selector);
        registry.grant(m, "");
        m = aGrant(two(sid, sid));
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(Errors.StreamTwice.selector, sid));
        registry.grant(m, "");
        m = aGrant(sid);
        m.deadline = NOW - 1;
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        registry.grant(m, "");
    }

    function test_notForAnotherChainOrRegistry() public {
        Grant memory m = aGrant(sid);
        vm.chainId(1);
        bytes memory foreign = sign(OWNER_KEY, digest(m));
        vm.chainId(31337);
        vm.expectRevert(wrongSigner(owner));
        registry.grant(m, foreign);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        // After a fork to another chain id, what was signed for this one is worth nothing there.
        vm.chainId(1);
        vm.expectRevert(wrongSigner(owner));
        registry.grant(m, sig);
        registry.grant(m, foreign);
    }

    function test_hundredsOfGrantsShareNothing() public {
        bytes32 first = give(aGrant(sid));
        for (uint256 i; i < 300; ++i) {
            give(aGrant(sid));
        }
        bytes32 last = give(aGrant(sid));
        revokeBy(OWNER_KEY, first, sid);
        check(!live(first, sid) && live(last, sid), "apart");
    }
}
