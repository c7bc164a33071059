// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Grant, RegisterStream, Stream, TransferStream } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors, Errors, Events } from "./Base.sol";

contract TransferStreamTest is Base {
    bytes32 private sid;
    bytes32 private other;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
        other = registerStream("other");
    }

    function giveAs(uint256 key, Grant memory m) private returns (bytes32) {
        m.owner = vm.addr(key);
        return registry.grant(m, sign(key, digest(m)));
    }

    function test_movesTheStream() public {
        TransferStream memory m = aTransfer(sid, owner, heir);
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(HEIR_KEY, digest(m));
        vm.expectEmit(address(registry));
        emit Events.StreamTransferred(sid, owner, heir);
        registry.transferStream(m, a, b);
        Stream memory s = registry.streams(sid);
        check(s.owner == heir && s.transferredAt == NOW && s.transfers == 1, "owner");
        check(s.writer == writer && s.genesis == NOW - 2 days, "the rest stays");
    }

    function test_needsBothOwners() public {
        TransferStream memory m = aTransfer(sid, owner, heir);
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(HEIR_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        registry.transferStream(m, b, b);
        vm.expectRevert(wrongSigner(heir));
        registry.transferStream(m, a, a);
        vm.prank(heir);
        registry.transferStream(m, a, "");
    }

    function test_endsAllGrantsOfTheStreamAndNoOthers() public {
        bytes32 first = give(aGrant(two(sid, other)));
        bytes32 second = give(aGrant(sid));
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        check(!live(first, sid) && !live(second, sid), "ended");
        check(live(first, other), "the stream that stayed");
    }

    function test_aGrantSignedBeforeCannotComeAfter() public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        vm.expectRevert(abi.encodeWithSelector(Errors.NotStreamOwner.selector, sid, owner));
        registry.grant(m, sig);
    }

    function test_noLaterGrantReachesBackBeforeTheTransfer() public {
        vm.warp(NOW + 1000);
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        Grant memory m = aGrant(sid);
        (m.owner, m.start) = (heir, NOW + 999);
        bytes memory sig = sign(HEIR_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.StartBeforeTransfer.selector, sid, m.start, NOW + 1000));
        registry.grant(m, sig);
        m.start = NOW + 1000;
        check(live(giveAs(HEIR_KEY, m), sid), "from the transfer on");
    }

    function test_oldGrantsDoNotReviveWhenTheStreamComesBack() public {
        // One from before, one that starts only after the stream is back, and all in one block.
        bytes32 past = give(aGrant(sid));
        Grant memory m = aGrant(sid);
        m.start = NOW + 500;
        bytes32 future = give(m);
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        transferTo(HEIR_KEY, OWNER_KEY, sid);
        check(!live(past, sid), "past");
        check(!registry.isLive(future, sid, NOW + 600), "future");
        vm.warp(NOW + 700);
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        transferTo(HEIR_KEY, OWNER_KEY, sid);
        check(!registry.isLive(past, sid, NOW + 700) && !registry.isLive(future, sid, NOW + 700), "later");
        Grant memory fresh = aGrant(sid);
        fresh.start = NOW + 700;
        check(live(give(fresh), sid), "a new grant in the same block is fine");
    }

    function test_theNewOwnersRevocationsAreItsOwn() public {
        bytes32 former = give(aGrant(sid));
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        bytes32 id = giveAs(HEIR_KEY, aGrant(sid));
        revokeBy(OWNER_KEY, former, sid);
        revokeBy(OWNER_KEY, former, 0);
        revokeBy(OWNER_KEY, id, 0);
        check(live(id, sid), "the former owner has no say");
        revokeBy(HEIR_KEY, id, sid);
        check(!live(id, sid), "the new one has");
    }

    function test_refusesNonsense() public {
        TransferStream memory m = aTransfer(sid, owner, owner);
        vm.expectRevert(abi.encodeWithSelector(Errors.SameOwner.selector, sid));
        registry.transferStream(m, "", "");
        m.newOwner = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.transferStream(m, "", "");
        m = aTransfer(keccak256("nowhere"), owner, heir);
        vm.expectRevert(abi.encodeWithSelector(Errors.StreamUnknown.selector, m.sid));
        registry.transferStream(m, "", "");
        m = aTransfer(sid, stranger, heir);
        vm.expectRevert(abi.encodeWithSelector(Errors.NotStreamOwner.selector, sid, stranger));
        registry.transferStream(m, "", "");
        m.deadline = NOW - 1;
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        registry.transferStream(m, "", "");
    }

    function test_countsOnce() public {
        TransferStream memory m = aTransfer(sid, owner, heir);
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(HEIR_KEY, digest(m));
        registry.transferStream(m, a, b);
        transferTo(HEIR_KEY, OWNER_KEY, sid);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        registry.transferStream(m, a, b);
    }

    function test_theCountOfTransfersNeverWraps() public {
        bytes32 id = give(aGrant(sid));
        // Slot 2 is the mapping of streams (0 and 1 are OpenZeppelin's); checked by reading it back.
        bytes32 slot = keccak256(abi.encode(sid, uint256(2)));
        vm.store(address(registry), slot, bytes32(uint256(uint160(owner)) | uint256(type(uint16).max) << 200));
        check(registry.streams(sid).transfers == type(uint16).max, "set up");
        TransferStream memory m = aTransfer(sid, owner, heir);
        vm.expectRevert(abi.encodeWithSelector(Errors.TooManyTransfers.selector, sid));
        registry.transferStream(m, "", "");
        check(!live(id, sid), "ended");
    }

    function test_theNameStaysTaken() public {
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        RegisterStream memory m = aStream();
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(WRITER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.StreamExists.selector, sid));
        registry.registerStream(m, a, b);
    }
}
