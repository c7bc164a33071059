// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { RegisterStream, Stream } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors, Errors, Events } from "./Base.sol";

contract RegisterStreamTest is Base {
    function test_recordsTheStreamAndEmits() public {
        RegisterStream memory m = aStream();
        bytes32 sid = sidOf(owner, m.nameHash);
        vm.expectEmit(address(registry));
        emit Events.StreamRegistered(sid, owner, writer, m.nameHash, m.streamKeyHash, m.genesis, m.slotSeconds);
        bytes32 returned = registry.registerStream(m, sign(OWNER_KEY, digest(m)), sign(WRITER_KEY, digest(m)));

        check(returned == sid, "id");
        Stream memory s = registry.streams(sid);
        check(s.owner == owner && s.writer == writer && s.streamKeyHash == m.streamKeyHash, "parties");
        check(s.genesis == m.genesis && s.slotSeconds == 900 && s.epoch == 0, "times");
        check(s.transferredAt == 0 && s.transfers == 0, "transfers");
        check(registry.nonceUsed(owner, m.nonce), "nonce");
    }

    function testFuzz_keepsEveryField(uint40 genesis, uint32 slot, bytes32 name, bytes32 key, uint256 nonce) public {
        RegisterStream memory m = aStream();
        (m.genesis, m.slotSeconds, m.nameHash, m.streamKeyHash) = (genesis, slot == 0 ? 1 : slot, name, key);
        m.nonce = nonce;
        bytes32 sid = registry.registerStream(m, sign(OWNER_KEY, digest(m)), sign(WRITER_KEY, digest(m)));
        Stream memory s = registry.streams(sid);
        check(s.genesis == genesis && s.slotSeconds == m.slotSeconds && s.streamKeyHash == key, "fields");
        check(s.owner == owner && s.writer == writer, "neighbours in the slot");
        check(registry.nonceUsed(owner, nonce), "nonce");
    }

    function test_ownerOrWriterMayCallInsteadOfSigning() public {
        RegisterStream memory m = aStream();
        vm.prank(owner);
        registry.registerStream(m, "", sign(WRITER_KEY, digest(m)));
        m = aStream();
        m.nameHash = keccak256("another");
        vm.prank(writer);
        registry.registerStream(m, sign(OWNER_KEY, digest(m)), "");
    }

    function test_refusesAStrangerForEitherSide() public {
        RegisterStream memory m = aStream();
        bytes memory good = sign(OWNER_KEY, digest(m));
        bytes memory bad = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        registry.registerStream(m, bad, sign(WRITER_KEY, digest(m)));
        vm.expectRevert(wrongSigner(writer));
        registry.registerStream(m, good, bad);
        vm.expectRevert(wrongSigner(writer));
        registry.registerStream(m, good, good);
        vm.expectRevert(wrongSigner(owner));
        registry.registerStream(m, "", sign(WRITER_KEY, digest(m)));
        check(!registry.nonceUsed(owner, m.nonce), "a refusal burns nothing");
    }

    function test_refusesTheSameNameTwice() public {
        bytes32 sid = registerStream("name");
        RegisterStream memory m = aStream();
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(WRITER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(Errors.StreamExists.selector, sid));
        registry.registerStream(m, a, b);
    }

    function test_refusesALateMessageButTakesTheLastSecond() public {
        RegisterStream memory m = aStream();
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(WRITER_KEY, digest(m));
        vm.warp(uint256(m.deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        registry.registerStream(m, a, b);
        vm.warp(m.deadline);
        registry.registerStream(m, a, b);
    }

    function test_refusesAUsedNonce() public {
        RegisterStream memory m = aStream();
        registry.registerStream(m, sign(OWNER_KEY, digest(m)), sign(WRITER_KEY, digest(m)));
        m.nameHash = keccak256("another");
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(WRITER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        registry.registerStream(m, a, b);
    }

    function test_refusesSlotsOfNoLengthAndNobodyAsOwnerOrWriter() public {
        RegisterStream memory m = aStream();
        m.slotSeconds = 0;
        vm.expectRevert(Errors.ZeroSlot.selector);
        registry.registerStream(m, "", "");
        m = aStream();
        m.writer = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.registerStream(m, "", "");
        m = aStream();
        m.owner = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.registerStream(m, "", "");
    }
}
