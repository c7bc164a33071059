// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/interfaces/IConsentRegistry.sol";
import "../src/libraries/Constants.sol";
import { Base, Errors } from "./Base.sol";

contract ViewsTest is Base {
    /// @dev ERC-5267.
    function test_theDomainIsToldByTheContract() public view {
        (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 salt,
            uint256[] memory extensions
        ) = registry.eip712Domain();
        check(fields == 0x0f && salt == 0 && extensions.length == 0, "fields");
        check(keccak256(bytes(name)) == keccak256("Wattpact ConsentRegistry"), "name");
        check(keccak256(bytes(version)) == keccak256("1"), "version");
        check(chainId == block.chainid && verifyingContract == address(registry), "place");
    }

    function test_nothingIsThereBeforeAnythingHappened() public view {
        bytes32 some = keccak256("some");
        check(registry.streams(some).owner == address(0), "stream");
        check(registry.grantOf(some, some).reader == address(0) && !registry.isLive(some, some, NOW), "grant");
        check(!registry.isLive(0, 0, 0) && !registry.isLive(0, 0, OPEN_END), "nothing is not something");
        check(!registry.isVoided(owner, some, 0) && !registry.nonceUsed(owner, 0), "marks");
        check(registry.pairingOf(some).device == address(0), "pairing");
    }

    function test_marksCanBeRead() public {
        bytes32 id = keccak256("ahead");
        bytes32 sid = keccak256("stream");
        revokeBy(OWNER_KEY, id, sid);
        check(registry.isVoided(owner, id, sid) && !registry.isVoided(owner, id, 0), "for one");
        revokeBy(OWNER_KEY, id, 0);
        check(registry.isVoided(owner, id, 0) && !registry.isVoided(reader, id, 0), "for all, by one account");
    }

    function testFuzz_digestOfIsWhatIsSigned(bytes32 a, uint40 b, uint64 c, address d, bytes32[] memory sids)
        public
        view
    {
        Grant memory g = Grant(d, owner, a, sids, b, OPEN_END, uint32(c), a, c, b);
        check(registry.digestOf(abi.encodeCall(registry.grant, (g, "sig"))) == digest(g), "grant");
        check(
            registry.digestOf(abi.encodeCall(registry.grantShort, (short(g, sign(1, a)), sids))) == digest(g), "short"
        );
        UnpairDevice memory u = UnpairDevice(d, a, sids, c, b);
        check(registry.digestOf(abi.encodeCall(registry.unpairDevice, (u, "sig"))) == digest(u), "unpair");
    }

    function testFuzz_digestOfIsWhatIsSignedWithoutStreams(bytes32 a, uint40 b, uint64 c, address d) public view {
        Revoke memory r = Revoke(d, a, a);
        check(registry.digestOf(abi.encodeCall(registry.revoke, (r, "sig"))) == digest(r), "revoke");
        PairDevice memory p = PairDevice(d, a, c, b);
        check(registry.digestOf(abi.encodeCall(registry.pairDevice, (p, d, a, "sig", ""))) == digest(p), "pair");
        StreamCommit memory s = StreamCommit(a, c, a);
        check(registry.digestOf(abi.encodeCall(registry.commit, (s, "sig"))) == digest(s), "commit");
    }

    function test_digestOfRefusesOtherCalls() public {
        vm.expectRevert();
        registry.digestOf("");
        vm.expectRevert(abi.encodeWithSelector(Errors.UnknownCall.selector, registry.streams.selector));
        registry.digestOf(abi.encodeCall(registry.streams, (0)));
        vm.expectRevert(abi.encodeWithSelector(Errors.UnknownCall.selector, registry.revokeDirect.selector));
        registry.digestOf(abi.encodeCall(registry.revokeDirect, (0, 0)));
    }

    function testFuzz_digestOfACutCallReverts(uint256 length) public {
        Grant memory g = aGrant(two(keccak256("a"), keccak256("b")));
        bytes memory data = abi.encodeCall(registry.grantShort, (short(g, sign(OWNER_KEY, digest(g))), g.sids));
        length = bound(length, 0, data.length - 1);
        assembly {
            mstore(data, length)
        }
        vm.expectRevert();
        registry.digestOf(data);
    }

    function testFuzz_noncesAreApart(uint256 used, uint256 another) public {
        vm.assume(used != another);
        bytes32 sid = registerStream("name");
        vm.assume(used > 10);
        Grant memory m = aGrant(sid);
        m.nonce = used;
        give(m);
        check(registry.nonceUsed(owner, used), "used");
        check(another < 10 || !registry.nonceUsed(owner, another), "the neighbour is free");
        check(!registry.nonceUsed(reader, used), "the reader's is free");
    }

    function test_nothingElseCanBeCalledAndNothingPaid() public {
        (bool ok,) = address(registry).call(hex"12345678");
        check(!ok, "no fallback");
        (ok,) = address(registry).call("");
        check(!ok, "no receive");
        (ok,) = address(registry).call{ value: 1 }(abi.encodeCall(registry.batch, (new bytes[](0))));
        check(!ok, "not payable");
    }
}
