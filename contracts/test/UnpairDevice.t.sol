// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { RegisterStream, Stream, StreamCommit, UnpairDevice } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors, Errors, Events } from "./Base.sol";

contract UnpairDeviceTest is Base {
    bytes32 private deviceHash;
    bytes32 private sid;
    bytes32 private kept;

    function setUp() public override {
        super.setUp();
        deviceHash = pair();
        sid = registerStream("ends");
        kept = registerStream("stays");
    }

    function test_theOwnerAloneEndsPairingAndWriterInOneCall() public {
        UnpairDevice memory m = unpairing(owner, deviceHash);
        m.sids = one(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        vm.expectEmit(address(registry));
        emit Events.WriterSet(sid, address(0), 0);
        vm.expectEmit(address(registry));
        emit Events.DeviceUnpaired(owner, deviceHash);
        registry.unpairDevice(m, sig);

        Stream memory s = registry.streams(sid);
        check(s.writer == address(0) && s.streamKeyHash == 0 && s.owner == owner, "ended");
        check(registry.streams(kept).writer == writer, "others stay");
        check(registry.pairingOf(deviceHash).owner == address(0), "unpaired");
    }

    function test_theFormerWriterIsOutAtOnce() public {
        StreamCommit memory c = StreamCommit(sid, 1, keccak256("one"));
        bytes memory ready = sign(WRITER_KEY, digest(c));
        UnpairDevice memory m = unpairing(owner, deviceHash);
        m.sids = one(sid);
        vm.prank(owner);
        registry.unpairDevice(m, "");
        vm.expectRevert(abi.encodeWithSelector(Errors.NoWriter.selector, sid));
        registry.commit(c, ready);
    }

    function test_theDeviceAloneMayToo() public {
        UnpairDevice memory m = unpairing(device, deviceHash);
        m.sids = one(sid);
        registry.unpairDevice(m, sign(DEVICE_KEY, digest(m)));
        check(registry.streams(sid).writer == address(0), "ended");
        check(registry.nonceUsed(device, m.nonce) && !registry.nonceUsed(owner, m.nonce), "its own nonce");
    }

    function test_neverTheStreamsOfAnotherOwner() public {
        RegisterStream memory foreign = aStream();
        foreign.owner = stranger;
        bytes32 other =
            registry.registerStream(foreign, sign(STRANGER_KEY, digest(foreign)), sign(WRITER_KEY, digest(foreign)));
        UnpairDevice memory m = unpairing(device, deviceHash);
        m.sids = two(sid, other);
        bytes memory sig = sign(DEVICE_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.NotStreamOwner.selector, other, owner));
        registry.unpairDevice(m, sig);
        check(registry.streams(sid).writer == writer, "all or nothing");
    }

    function test_neverAStreamThatTheOwnerGaveAway() public {
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        UnpairDevice memory m = unpairing(owner, deviceHash);
        m.sids = one(sid);
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(Errors.NotStreamOwner.selector, sid, owner));
        registry.unpairDevice(m, "");
    }

    function test_refusesStrangersAndUnknownPairings() public {
        UnpairDevice memory m = unpairing(stranger, deviceHash);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Errors.NotPaired.selector, deviceHash, stranger));
        registry.unpairDevice(m, "");
        m = unpairing(owner, keccak256("nowhere"));
        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(Errors.NotPaired.selector, m.deviceHash, owner));
        registry.unpairDevice(m, "");
        // The empty sides of an unknown pairing are not the zero account.
        m.account = address(0);
        vm.prank(address(0));
        vm.expectRevert(abi.encodeWithSelector(Errors.NotPaired.selector, m.deviceHash, address(0)));
        registry.unpairDevice(m, "");
    }

    function test_refusesForgeriesReplaysAndLateOnes() public {
        UnpairDevice memory m = unpairing(owner, deviceHash);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        m.sids = one(sid);
        vm.expectRevert(wrongSigner(owner));
        registry.unpairDevice(m, sig);
        m.sids = new bytes32[](0);
        registry.unpairDevice(m, sig);
        pair();
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        registry.unpairDevice(m, sig);
        vm.warp(uint256(m.deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        registry.unpairDevice(m, sig);
    }
}
