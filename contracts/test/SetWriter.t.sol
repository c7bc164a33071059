// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { SetWriter, Stream, StreamCommit } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors, Errors, Events } from "./Base.sol";

contract SetWriterTest is Base {
    uint256 private constant NEXT_KEY = 0x4E;

    function message(bytes32 sid) private returns (SetWriter memory) {
        return SetWriter(owner, sid, vm.addr(NEXT_KEY), keccak256("next key"), freshNonce(), NOW + 1 days);
    }

    function test_changesWriterAndKeyAndKeepsTheEpoch() public {
        bytes32 sid = registerStream("name");
        vm.prank(writer);
        registry.commit(StreamCommit(sid, 1, keccak256("one")), "");
        SetWriter memory m = message(sid);
        vm.expectEmit(address(registry));
        emit Events.WriterSet(sid, m.writer, m.streamKeyHash);
        registry.setWriter(m, sign(OWNER_KEY, digest(m)), sign(NEXT_KEY, digest(m)));

        Stream memory s = registry.streams(sid);
        check(s.writer == m.writer && s.streamKeyHash == m.streamKeyHash && s.epoch == 1, "state");
        check(s.owner == owner && s.slotSeconds == 900, "the rest stays");
    }

    function test_theFormerWriterCannotCommitAnyMore() public {
        bytes32 sid = registerStream("name");
        StreamCommit memory c = StreamCommit(sid, 1, keccak256("one"));
        bytes memory kept = sign(WRITER_KEY, digest(c));
        SetWriter memory m = message(sid);
        registry.setWriter(m, sign(OWNER_KEY, digest(m)), sign(NEXT_KEY, digest(m)));
        vm.expectRevert(wrongSigner(m.writer));
        registry.commit(c, kept);
        registry.commit(c, sign(NEXT_KEY, digest(c)));
    }

    function test_needsBothSides() public {
        bytes32 sid = registerStream("name");
        SetWriter memory m = message(sid);
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(NEXT_KEY, digest(m));
        bytes memory former = sign(WRITER_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        registry.setWriter(m, former, b);
        vm.expectRevert(wrongSigner(m.writer));
        registry.setWriter(m, a, former);
        vm.prank(m.writer);
        registry.setWriter(m, a, "");
    }

    function test_refusesStreamsOfOthersUnknownOnesAndNobody() public {
        bytes32 sid = registerStream("name");
        SetWriter memory m = message(sid);
        m.owner = stranger;
        bytes memory a = sign(STRANGER_KEY, digest(m));
        bytes memory b = sign(NEXT_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.NotStreamOwner.selector, sid, stranger));
        registry.setWriter(m, a, b);
        m.sid = keccak256("nowhere");
        vm.expectRevert(abi.encodeWithSelector(Errors.StreamUnknown.selector, m.sid));
        registry.setWriter(m, a, b);
        m = message(sid);
        m.writer = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.setWriter(m, "", "");
    }

    function test_countsOnceAndInTime() public {
        bytes32 sid = registerStream("name");
        SetWriter memory m = message(sid);
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(NEXT_KEY, digest(m));
        registry.setWriter(m, a, b);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        registry.setWriter(m, a, b);
        vm.warp(uint256(m.deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        registry.setWriter(m, a, b);
    }
}
