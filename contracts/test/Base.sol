// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC5267 } from "@openzeppelin/contracts/interfaces/IERC5267.sol";

import "../src/interfaces/IConsentRegistry.sol";
import { CommonErrors } from "../src/libraries/CommonErrors.sol";
import { CommonEvents } from "../src/libraries/CommonEvents.sol";
import "../src/libraries/Constants.sol";
import { Errors } from "../src/libraries/Errors.sol";
import { Events } from "../src/libraries/Events.sol";
import { Origin, Terms } from "../src/libraries/Words.sol";
import { Common } from "./Common.sol";

/// @dev Named actors, messages with sensible fields, signatures. Struct hashes are written out here a second time, so
/// that a slip in the contract's own does not cancel out.
interface IRegistry is IConsentRegistry, IERC5267 { }

abstract contract Base is Common {
    uint256 internal constant OWNER_KEY = 0xA11CE;
    uint256 internal constant READER_KEY = 0xB0B;
    uint256 internal constant WRITER_KEY = 0xC0DE;
    uint256 internal constant DEVICE_KEY = 0xDE71CE;
    uint256 internal constant HEIR_KEY = 0xE1;
    uint256 internal constant STRANGER_KEY = 0x57;

    uint40 internal constant OPEN_END = type(uint40).max;
    bytes32 internal constant SALT = keccak256("salt");

    IRegistry internal registry;
    address internal owner;
    address internal reader;
    address internal writer;
    address internal device;
    address internal heir;
    address internal stranger;

    function setUp() public virtual {
        vm.warp(NOW);
        registry = IRegistry(create(vm.getCode("ConsentRegistry.sol:ConsentRegistry")));
        owner = vm.addr(OWNER_KEY);
        reader = vm.addr(READER_KEY);
        writer = vm.addr(WRITER_KEY);
        device = vm.addr(DEVICE_KEY);
        heir = vm.addr(HEIR_KEY);
        stranger = vm.addr(STRANGER_KEY);
    }

    /* DIGESTS AND SIGNATURES */

    function domainSeparator() internal view returns (bytes32) {
        return domainOf("Wattpact ConsentRegistry", address(registry));
    }

    function typed(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainSeparator(), structHash));
    }

    /* MESSAGES */

    function digest(RegisterStream memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "RegisterStream(address owner,bytes32 nameHash,address writer,bytes32 streamKeyHash,uint40 genesis,uint32 slotSeconds,uint256 nonce,uint40 deadline)"
        );
        return typed(
            keccak256(
                abi.encode(
                    head, m.owner, m.nameHash, m.writer, m.streamKeyHash, m.genesis, m.slotSeconds, m.nonce, m.deadline
                )
            )
        );
    }

    function digest(SetWriter memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "SetWriter(address owner,bytes32 sid,address writer,bytes32 streamKeyHash,uint256 nonce,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m.owner, m.sid, m.writer, m.streamKeyHash, m.nonce, m.deadline)));
    }

    function digest(PairDevice memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("PairDevice(address owner,bytes32 deviceHash,uint256 nonce,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m.owner, m.deviceHash, m.nonce, m.deadline)));
    }

    function digest(UnpairDevice memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("UnpairDevice(address account,bytes32 deviceHash,bytes32[] sids,uint256 nonce,uint40 deadline)");
        bytes32 sids = keccak256(abi.encodePacked(m.sids));
        return typed(keccak256(abi.encode(head, m.account, m.deviceHash, sids, m.nonce, m.deadline)));
    }

    function digest(Grant memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "Grant(address owner,address reader,bytes32 readerKeyHash,bytes32[] sids,uint40 start,uint40 end,uint32 purposeTag,bytes32 textHash,uint256 nonce,uint40 deadline)"
        );
        return typed(
            keccak256(
                abi.encode(
                    head,
                    m.owner,
                    m.reader,
                    m.readerKeyHash,
                    keccak256(abi.encodePacked(m.sids)),
                    m.start,
                    m.end,
                    m.purposeTag,
                    m.textHash,
                    m.nonce,
                    m.deadline
                )
            )
        );
    }

    function digest(Revoke memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("Revoke(address account,bytes32 grantId,bytes32 sid)");
        return typed(keccak256(abi.encode(head, m.account, m.grantId, m.sid)));
    }

    function digest(RegisterKey memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "RegisterKey(address reader,bytes32 grantId,bytes32 readerKeyHash,uint256 nonce,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m.reader, m.grantId, m.readerKeyHash, m.nonce, m.deadline)));
    }

    function digest(StreamCommit memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)");
        return typed(keccak256(abi.encode(head, m.sid, m.epoch, m.commitHash)));
    }

    function digest(TransferStream memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("TransferStream(address owner,address newOwner,bytes32 sid,uint256 nonce,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m.owner, m.newOwner, m.sid, m.nonce, m.deadline)));
    }

    function aStream() internal returns (RegisterStream memory) {
        return RegisterStream({
            owner: owner,
            nameHash: keccak256("name"),
            writer: writer,
            streamKeyHash: keccak256("stream key"),
            genesis: NOW - 2 days,
            slotSeconds: 900,
            nonce: freshNonce(),
            deadline: NOW + 1 days
        });
    }

    function aGrant(bytes32 sid) internal returns (Grant memory) {
        return aGrant(one(sid));
    }

    function aGrant(bytes32[] memory sids) internal returns (Grant memory) {
        return Grant({
            owner: owner,
            reader: reader,
            readerKeyHash: keccak256("reader key"),
            sids: sids,
            start: NOW,
            end: OPEN_END,
            purposeTag: 7,
            textHash: keccak256("text"),
            nonce: freshNonce(),
            deadline: uint40(block.timestamp) + 1 days
        });
    }

    function aPairing() internal returns (PairDevice memory) {
        return PairDevice({
            owner: owner,
            deviceHash: keccak256(abi.encode(SALT, owner, device)),
            nonce: freshNonce(),
            deadline: uint40(block.timestamp) + 1 days
        });
    }

    function unpairing(address account, bytes32 deviceHash) internal returns (UnpairDevice memory) {
        return UnpairDevice(account, deviceHash, new bytes32[](0), freshNonce(), uint40(block.timestamp) + 1 days);
    }

    function aTransfer(bytes32 sid, address from, address to) internal returns (TransferStream memory) {
        return TransferStream(from, to, sid, freshNonce(), uint40(block.timestamp) + 1 days);
    }

    function one(bytes32 sid) internal pure returns (bytes32[] memory sids) {
        sids = new bytes32[](1);
        sids[0] = sid;
    }

    function two(bytes32 first, bytes32 second) internal pure returns (bytes32[] memory sids) {
        sids = new bytes32[](2);
        sids[0] = first;
        sids[1] = second;
    }

    function sidOf(address owner_, bytes32 nameHash) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(registry), owner_, nameHash));
    }

    /* STEPS */

    function registerStream(string memory name) internal returns (bytes32) {
        RegisterStream memory m = aStream();
        m.nameHash = keccak256(bytes(name));
        return registry.registerStream(m, sign(OWNER_KEY, digest(m)), sign(WRITER_KEY, digest(m)));
    }

    function give(Grant memory m) internal returns (bytes32) {
        return registry.grant(m, sign(OWNER_KEY, digest(m)));
    }

    /// @dev The short form of a grant and a signature of 65 bytes.
    function short(Grant memory m, bytes memory sig) internal pure returns (ShortGrant memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(sig);
        return ShortGrant({
            terms: Terms.wrap(uint256(uint160(m.reader)) | uint256(m.start) << 160 | uint256(m.end) << 200),
            origin: Origin.wrap(uint256(uint160(m.owner)) | uint256(m.deadline) << 160 | uint256(m.purposeTag) << 200),
            readerKeyHash: m.readerKeyHash,
            textHash: m.textHash,
            nonce: m.nonce,
            r: r,
            vs: bytes32(uint256(s) | uint256(v - 27) << 255)
        });
    }

    function revokeBy(uint256 key, bytes32 grantId, bytes32 sid) internal {
        Revoke memory m = Revoke(vm.addr(key), grantId, sid);
        registry.revoke(m, sign(key, digest(m)));
    }

    function transferTo(uint256 fromKey, uint256 toKey, bytes32 sid) internal {
        TransferStream memory m = aTransfer(sid, vm.addr(fromKey), vm.addr(toKey));
        registry.transferStream(m, sign(fromKey, digest(m)), sign(toKey, digest(m)));
    }

    function pair() internal returns (bytes32) {
        PairDevice memory m = aPairing();
        registry.pairDevice(m, device, SALT, sign(OWNER_KEY, digest(m)), sign(DEVICE_KEY, digest(m)));
        return m.deviceHash;
    }

    function live(bytes32 grantId, bytes32 sid) internal view returns (bool) {
        return registry.isLive(grantId, sid, uint40(block.timestamp));
    }
}
