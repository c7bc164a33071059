// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {
    Grant,
    PairDevice,
    RegisterKey,
    RegisterStream,
    Revoke,
    SetWriter,
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
        return keccak256(
            abi.encode(UNPAIR_DEVICE, m.account, m.deviceHash, keccak256(abi.encodePacked(m.sids)), m.nonce, m.deadline)
        );
    }

    function hash(Grant calldata m) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                GRANT,
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
        );
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
