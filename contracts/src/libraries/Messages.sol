// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    Grant,
    PairDevice,
    RegisterKey,
    RegisterStream,
    Revoke,
    SetWriter,
    ShortGrant,
    StreamCommit,
    TransferStream,
    UnpairDevice
} from "../interfaces/IConsentRegistry.sol";

/// @title EIP-712 types and struct hashes of the messages
/// @dev A struct of value types hashes as its type hash followed by its ABI encoding; a `bytes32[]` stands as the
/// keccak256 of its elements.
library Messages {
    bytes32 internal constant REGISTER_STREAM = keccak256(
        "RegisterStream(address owner,bytes32 nameHash,address writer,bytes32 streamKeyHash,uint40 genesis,uint32 slotSeconds,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant SET_WRITER = keccak256(
        "SetWriter(address owner,bytes32 sid,address writer,bytes32 streamKeyHash,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant PAIR_DEVICE =
        keccak256("PairDevice(address owner,bytes32 deviceHash,uint256 nonce,uint40 deadline)");
    bytes32 internal constant UNPAIR_DEVICE =
        keccak256("UnpairDevice(address account,bytes32 deviceHash,bytes32[] sids,uint256 nonce,uint40 deadline)");
    bytes32 internal constant GRANT = keccak256(
        "Grant(address owner,address reader,bytes32 readerKeyHash,bytes32[] sids,uint40 start,uint40 end,uint32 purposeTag,bytes32 textHash,uint256 nonce,uint40 deadline)"
    );
    bytes32 internal constant REVOKE = keccak256("Revoke(address account,bytes32 grantId,bytes32 sid)");
    bytes32 internal constant REGISTER_KEY =
        keccak256("RegisterKey(address reader,bytes32 grantId,bytes32 readerKeyHash,uint256 nonce,uint40 deadline)");
    bytes32 internal constant STREAM_COMMIT = keccak256("StreamCommit(bytes32 sid,uint64 epoch,bytes32 commitHash)");
    bytes32 internal constant TRANSFER_STREAM =
        keccak256("TransferStream(address owner,address newOwner,bytes32 sid,uint256 nonce,uint40 deadline)");

    function hash(RegisterStream calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(REGISTER_STREAM, m));
    }

    function hash(SetWriter calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(SET_WRITER, m));
    }

    function hash(PairDevice calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(PAIR_DEVICE, m));
    }

    function hash(UnpairDevice calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(UNPAIR_DEVICE, m.account, m.deviceHash, hash(m.sids), m.nonce, m.deadline));
    }

    function hash(Grant calldata m) internal pure returns (bytes32) {
        bytes32 sids = hash(m.sids);
        return keccak256(
            abi.encode(
                GRANT,
                m.owner,
                m.reader,
                m.readerKeyHash,
                sids,
                m.start,
                m.end,
                m.purposeTag,
                m.textHash,
                m.nonce,
                m.deadline
            )
        );
    }

    /// @dev The same words from the short form, put together where memory ends; `abi.encode` would first find room for
    /// them and then mask what is clean.
    function hash(ShortGrant calldata m, bytes32[] calldata sids) internal pure returns (bytes32 digest) {
        bytes32 typeHash = GRANT;
        bytes32 sidsHash = hash(sids);
        // Whole words: what lies above an address is not defined in assembly.
        uint256 owner = uint160(m.origin.owner());
        uint256 reader = uint160(m.terms.reader());
        uint256 start = m.terms.start();
        uint256 end = m.terms.end();
        uint256 purposeTag = m.origin.purposeTag();
        uint256 deadline = m.origin.deadline();
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            mstore(add(free, 0x20), owner)
            mstore(add(free, 0x40), reader)
            mstore(add(free, 0x60), calldataload(add(m, 0x40))) // readerKeyHash
            mstore(add(free, 0x80), sidsHash)
            mstore(add(free, 0xa0), start)
            mstore(add(free, 0xc0), end)
            mstore(add(free, 0xe0), purposeTag)
            calldatacopy(add(free, 0x100), add(m, 0x60), 0x40) // textHash, nonce
            mstore(add(free, 0x140), deadline)
            digest := keccak256(free, 0x160)
        }
    }

    /// @dev From a copy beyond the end of allocated memory, which is left where it is.
    function hash(bytes32[] calldata sids) internal pure returns (bytes32 digest) {
        assembly ("memory-safe") {
            let size := shl(5, sids.length)
            let free := mload(0x40)
            calldatacopy(free, sids.offset, size)
            digest := keccak256(free, size)
        }
    }

    function hash(Revoke calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(REVOKE, m));
    }

    function hash(RegisterKey calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(REGISTER_KEY, m));
    }

    function hash(StreamCommit calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(STREAM_COMMIT, m));
    }

    function hash(TransferStream calldata m) internal pure returns (bytes32) {
        return keccak256(abi.encode(TRANSFER_STREAM, m));
    }
}
