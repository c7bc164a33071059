// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { StreamCommit } from "../src/interfaces/IConsentRegistry.sol";
import { Base, Errors, Events } from "./Base.sol";

contract CommitTest is Base {
    bytes32 private sid;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
    }

    function test_emitsAndCountsUp() public {
        for (uint64 epoch = 1; epoch < 4; ++epoch) {
            StreamCommit memory m = StreamCommit(sid, epoch, keccak256(abi.encode(epoch)));
            bytes memory sig = sign(WRITER_KEY, digest(m));
            vm.expectEmit(address(registry));
            emit Events.Committed(sid, epoch, m.commitHash);
            registry.commit(m, sig);
            check(registry.streams(sid).epoch == epoch, "head");
        }
    }

    function test_theWriterMayCall() public {
        vm.prank(writer);
        registry.commit(StreamCommit(sid, 1, 0), "");
        check(registry.streams(sid).epoch == 1, "head");
    }

    function testFuzz_onlyTheNextEpoch(uint64 epoch, uint8 before) public {
        uint64 head = before % 5;
        for (uint64 made = 1; made <= head; ++made) {
            vm.prank(writer);
            registry.commit(StreamCommit(sid, made, 0), "");
        }
        vm.prank(writer);
        if (epoch != head + 1) {
            vm.expectRevert(abi.encodeWithSelector(Errors.EpochNotNext.selector, sid, head + 1, epoch));
        }
        registry.commit(StreamCommit(sid, epoch, 0), "");
    }

    function test_twoCommitsForOneEpochCannotBothCount() public {
        StreamCommit memory a = StreamCommit(sid, 1, keccak256("a"));
        StreamCommit memory b = StreamCommit(sid, 1, keccak256("b"));
        bytes memory sigA = sign(WRITER_KEY, digest(a));
        bytes memory sigB = sign(WRITER_KEY, digest(b));
        registry.commit(a, sigA);
        vm.expectRevert(abi.encodeWithSelector(Errors.EpochNotNext.selector, sid, 2, 1));
        registry.commit(b, sigB);
        vm.expectRevert(abi.encodeWithSelector(Errors.EpochNotNext.selector, sid, 2, 1));
        registry.commit(a, sigA);
    }

    function test_nobodyElseCommitsNotEvenTheOwner() public {
        StreamCommit memory m = StreamCommit(sid, 1, keccak256("one"));
        bytes memory sig = sign(OWNER_KEY, digest(m));
        vm.expectRevert(wrongSigner(writer));
        registry.commit(m, sig);
        vm.prank(owner);
        vm.expectRevert(wrongSigner(writer));
        registry.commit(m, "");
    }

    function test_unknownStreamsHaveNoWriter() public {
        StreamCommit memory m = StreamCommit(keccak256("nowhere"), 1, 0);
        vm.expectRevert(abi.encodeWithSelector(Errors.NoWriter.selector, m.sid));
        registry.commit(m, "");
        // The zero account is the writer of nothing, even for a call that pretends to come from it.
        vm.prank(address(0));
        vm.expectRevert(abi.encodeWithSelector(Errors.NoWriter.selector, m.sid));
        registry.commit(m, "");
    }
}
