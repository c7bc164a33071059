// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/interfaces/IConsentRegistry.sol";
import "../src/libraries/Constants.sol";
import { Messages } from "../src/libraries/Messages.sol";
import { Base, IRegistry } from "./Base.sol";

/// @dev tests/vectors/eip712.json, made with another encoder: Solidity agrees on every hash and takes every signature.
contract VectorsTest is Base {
    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("tests/vectors/eip712.json");
        address place = vm.parseJsonAddress(json, ".contracts.ConsentRegistry.domain.verifyingContract");
        // Same code at the address in the vectors; it sees that it moved and derives its domain anew.
        vm.etch(place, address(registry).code);
        registry = IRegistry(place);
    }

    function field(uint256 index, string memory name) private pure returns (string memory) {
        return string.concat(".contracts.ConsentRegistry.vectors[", vm.toString(index), "].", name);
    }

    function same(string memory a, string memory b) private pure returns (bool) {
        return keccak256(bytes(a)) == keccak256(bytes(b));
    }

    /// @dev Selector, type hash, and the digest by this test's own struct hashes.
    function expected(string memory name, bytes memory m) private view returns (bytes4, bytes32, bytes32) {
        if (same(name, "RegisterStream")) {
            return (registry.registerStream.selector, Messages.REGISTER_STREAM, digest(abi.decode(m, (RegisterStream))));
        }
        if (same(name, "SetWriter")) {
            return (registry.setWriter.selector, Messages.SET_WRITER, digest(abi.decode(m, (SetWriter))));
        }
        if (same(name, "PairDevice")) {
            return (registry.pairDevice.selector, Messages.PAIR_DEVICE, digest(abi.decode(m, (PairDevice))));
        }
        if (same(name, "UnpairDevice")) {
            return (registry.unpairDevice.selector, Messages.UNPAIR_DEVICE, digest(abi.decode(m, (UnpairDevice))));
        }
        if (same(name, "Grant")) return (registry.grant.selector, Messages.GRANT, digest(abi.decode(m, (Grant))));
        if (same(name, "Revoke")) return (registry.revoke.selector, Messages.REVOKE, digest(abi.decode(m, (Revoke))));
        if (same(name, "RegisterKey")) {
            return (registry.registerKey.selector, Messages.REGISTER_KEY, digest(abi.decode(m, (RegisterKey))));
        }
        if (same(name, "StreamCommit")) {
            return (registry.commit.selector, Messages.STREAM_COMMIT, digest(abi.decode(m, (StreamCommit))));
        }
        check(same(name, "TransferStream"), name);
        return (registry.transferStream.selector, Messages.TRANSFER_STREAM, digest(abi.decode(m, (TransferStream))));
    }

    /// @dev A call with the message and no more: that is all that its digest is made of. A struct with an array comes
    /// with its offset, which is the same in front of no other arguments.
    function callOf(bytes4 selector, bytes memory encoded) private pure returns (bytes memory) {
        return abi.encodePacked(selector, encoded);
    }

    function test_hashesAgree() public view {
        check(block.chainid == vm.parseJsonUint(json, ".contracts.ConsentRegistry.domain.chainId"), "chain");
        check(domainSeparator() == vm.parseJsonBytes32(json, ".contracts.ConsentRegistry.domainSeparator"), "domain");
        uint256 count = vm.parseJsonUint(json, ".contracts.ConsentRegistry.count");
        check(count == 18, "every message, two cases");
        for (uint256 i; i < count; ++i) {
            string memory name = vm.parseJsonString(json, field(i, "primaryType"));
            bytes memory encoded = vm.parseJsonBytes(json, field(i, "encoded"));
            (bytes4 selector, bytes32 typeHash, bytes32 hash) = expected(name, encoded);
            check(keccak256(bytes(vm.parseJsonString(json, field(i, "type")))) == typeHash, "type string");
            check(vm.parseJsonBytes32(json, field(i, "typeHash")) == typeHash, "type hash");
            bytes32 wanted = vm.parseJsonBytes32(json, field(i, "digest"));
            check(typed(vm.parseJsonBytes32(json, field(i, "structHash"))) == wanted, "struct hash");
            check(hash == wanted, "digest by the test");
            check(registry.digestOf(callOf(selector, encoded)) == wanted, "digest by the contract");
        }
    }

    function test_signaturesRecover() public view {
        uint256 count = vm.parseJsonUint(json, ".contracts.ConsentRegistry.count");
        for (uint256 i; i < count; ++i) {
            bytes32 wanted = vm.parseJsonBytes32(json, field(i, "digest"));
            address signer = vm.parseJsonAddress(json, field(i, "signatures[0].address"));
            (bytes32 r, bytes32 s, uint8 v) = split(vm.parseJsonBytes(json, field(i, "signatures[0].signature")));
            check(ecrecover(wanted, v, r, s) == signer, "recovers");
            check(uint256(s) <= ORDER / 2, "low s");
        }
    }

    function test_theContractTakesTheSignedMessages() public {
        vm.warp(1_760_000_000);
        bytes memory encoded = vm.parseJsonBytes(json, field(0, "encoded"));
        RegisterStream memory m = abi.decode(encoded, (RegisterStream));
        bytes32 sid = registry.registerStream(
            m,
            vm.parseJsonBytes(json, field(0, "signatures[0].signature")),
            vm.parseJsonBytes(json, field(0, "signatures[1].signature"))
        );
        check(registry.streams(sid).owner == vm.parseJsonAddress(json, ".keys.owner.address"), "owner");
        for (uint256 i; i < 18; ++i) {
            if (!same(vm.parseJsonString(json, field(i, "primaryType")), "Revoke")) continue;
            Revoke memory r = abi.decode(vm.parseJsonBytes(json, field(i, "encoded")), (Revoke));
            registry.revoke(r, vm.parseJsonBytes(json, field(i, "signatures[0].signature")));
            check(registry.isVoided(r.account, r.grantId, r.sid), "voided");
        }
    }
}
