// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { Origin, Terms } from "../libraries/Words.sol";

// The messages. Field order is the order of the EIP-712 types in `Messages`; addresses name the account that signs, so
// a message says by itself who acts. `nonce` is any number not used before by the account (see `nonceUsed`), `deadline`
// the last second (UTC) in which the message is accepted.

/// @dev Signed by owner and writer. The stream id is `keccak256(abi.encode(chainId, registry, owner, nameHash))`.
struct RegisterStream {
    address owner;
    bytes32 nameHash;
    address writer;
    bytes32 streamKeyHash;
    uint40 genesis;
    uint32 slotSeconds;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by owner and the new writer.
struct SetWriter {
    address owner;
    bytes32 sid;
    address writer;
    bytes32 streamKeyHash;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by owner and device; `deviceHash = keccak256(abi.encode(salt, owner, device))`.
struct PairDevice {
    address owner;
    bytes32 deviceHash;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by `account`, which is either side of the pairing. `sids` are the streams whose writer right ends.
struct UnpairDevice {
    address account;
    bytes32 deviceHash;
    bytes32[] sids;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by owner. The grant's id is the EIP-712 digest of this message. The right covers slots in
/// `[start, end)`; `end = 2**40 - 1` means until revoked.
struct Grant {
    address owner;
    address reader;
    bytes32 readerKeyHash;
    bytes32[] sids;
    uint40 start;
    uint40 end;
    uint32 purposeTag;
    bytes32 textHash;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the owner or the reader of the grant; `sid = 0` means all its streams. Neither nonce nor deadline:
/// whoever finds the message may bring it, at any time, as often as they like.
struct Revoke {
    address account;
    bytes32 grantId;
    bytes32 sid;
}

/// @dev Signed by the reader, to replace the key named in the Grant.
struct RegisterKey {
    address reader;
    bytes32 grantId;
    bytes32 readerKeyHash;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the stream's writer. The epoch orders these, so they need neither nonce nor deadline.
struct StreamCommit {
    bytes32 sid;
    uint64 epoch;
    bytes32 commitHash;
}

/// @dev Signed by both owners.
struct TransferStream {
    address owner;
    address newOwner;
    bytes32 sid;
    uint256 nonce;
    uint40 deadline;
}

/// @notice What the registry keeps of a stream: three slots, packed so that a commit writes one of them.
struct Stream {
    /// @dev Zero: not registered.
    address owner;
    /// @dev Time of the last transfer, zero before the first. No grant may start earlier.
    uint40 transferredAt;
    /// @dev Number of transfers. A grant counts only under the number it was recorded with.
    uint16 transfers;
    uint40 genesis;
    /// @dev Zero: nobody may commit.
    address writer;
    /// @dev Epoch of the newest commit, zero before the first.
    uint64 epoch;
    uint32 slotSeconds;
    bytes32 streamKeyHash;
}

/// @notice What the registry keeps of a grant for each stream that it names: one slot.
struct Entry {
    /// @dev Zero: no such grant, or revoked.
    address reader;
    uint40 start;
    uint40 end;
    uint16 transfers;
}

/// @notice The two sides of a pairing; zero when not paired.
struct Pairing {
    address owner;
    address device;
}

/// @notice A Grant in fewer bytes, with a key's signature in two words (EIP-2098).
struct ShortGrant {
    /// @dev `reader | start << 160 | end << 200`; the highest 16 bits are not read.
    Terms terms;
    /// @dev `owner | deadline << 160 | purposeTag << 200`; the highest 24 bits are not read.
    Origin origin;
    bytes32 readerKeyHash;
    bytes32 textHash;
    uint256 nonce;
    bytes32 r;
    /// @dev s, with v - 27 as its highest bit.
    bytes32 vs;
}

/// @title Consent registry
/// @notice Records who may read which meter stream, for which time, and who writes it. Every action is a message signed
/// by the account that it binds (EIP-712) and may be brought by anybody. The registry has no owner, no role and no
/// upgrade.
/// @dev A signature argument is 65 bytes `r || s || v`, or whatever the account's EIP-1271 code takes, or empty, which
/// means "the caller is that account". All functions revert with an error of `Errors`; a revert leaves nothing behind,
/// so a refused message may succeed later, until its deadline.
/// @dev Warning: messages signed for this registry count on every chain with the same chain id, forks included.
interface IConsentRegistry {
    /// @notice Registers a stream under its owner, with the account that may commit to it.
    /// @return sid The stream's id.
    function registerStream(RegisterStream calldata m, bytes calldata ownerSig, bytes calldata writerSig)
        external
        returns (bytes32 sid);

    /// @notice Gives the writing right of a stream to another account, with a new key for data signatures.
    function setWriter(SetWriter calldata m, bytes calldata ownerSig, bytes calldata writerSig) external;

    /// @notice Records that an owner and a device are paired.
    /// @param device The device's account; with `salt` it opens `m.deviceHash`.
    function pairDevice(
        PairDevice calldata m,
        address device,
        bytes32 salt,
        bytes calldata ownerSig,
        bytes calldata deviceSig
    ) external;

    /// @notice Ends a pairing and, in the same call, the writing right of the streams named.
    /// @dev Either side can do it alone. A device can name any stream of its owner: the registry does not know which
    /// device writes which stream. The worst a stolen device gains is that streams pause until their owner sets a
    /// writer again.
    function unpairDevice(UnpairDevice calldata m, bytes calldata sig) external;

    /// @notice Records a grant.
    /// @dev A grant that was revoked before it came is recorded, and its event emitted, but it is never live:
    /// revocations are looked up when liveness is asked for. So the set of messages decides, never their order.
    /// @return grantId The EIP-712 digest of the message.
    function grant(Grant calldata m, bytes calldata sig) external returns (bytes32 grantId);

    /// @notice Records a grant like {grant}, from a call that is a third shorter.
    /// @dev EIP-1271 code is asked about the 65 bytes that the signature stands for.
    /// @return grantId The EIP-712 digest of the message.
    function grantShort(ShortGrant calldata m, bytes32[] calldata sids) external returns (bytes32 grantId);

    /// @notice Ends a grant for one stream or all, for good; also a grant that has not come yet.
    /// @dev Before the grant is known, and for all streams at once, nobody can tell whether `account` is a party to it.
    /// The revocation is then recorded under that account and counts only if the grant names it as owner or reader.
    /// Whoever follows the events must apply the same rule: a `Revoked` whose account is not a party to the grant means
    /// nothing.
    /// @dev Needs up to 75,000 gas where the grant is not known and 55,000 where it is (less after the refund). Do not
    /// take an estimate for the limit: a reorg can turn one case into the other.
    function revoke(Revoke calldata m, bytes calldata sig) external;

    /// @notice Ends a grant like {revoke}, by the caller.
    function revokeDirect(bytes32 grantId, bytes32 sid) external;

    /// @notice Announces a reader's new key. The first key travels in the Grant.
    /// @param sid Any stream for which the grant stands; it leads to the record that names the reader.
    function registerKey(RegisterKey calldata m, bytes32 sid, bytes calldata sig) external;

    /// @notice Anchors the writer's next commit. Commits are numbered from 1 without gaps.
    /// @dev The hash is in the event only; state holds the epoch.
    function commit(StreamCommit calldata m, bytes calldata sig) external;

    /// @notice Hands a stream to another owner and ends all grants of the former, in one write.
    /// @dev The writer stays until the new owner sets another.
    function transferStream(TransferStream calldata m, bytes calldata ownerSig, bytes calldata newOwnerSig) external;

    /// @notice Takes many messages of many signers. One that is refused emits `Rejected` and changes nothing.
    /// @param calls Calls of the functions above that take signatures, as they would be made singly.
    /// @dev Reverts as a whole, with InsufficientGas, when an item might have failed for want of gas: whoever brings
    /// the batch must not be able to have a good message refused.
    function batch(bytes[] calldata calls) external;

    /// @notice The state of a stream; all zero when not registered.
    function streams(bytes32 sid) external view returns (Stream memory);

    /// @notice Whether the reader of a grant may read a stream at a time.
    /// @param time Seconds UTC, past or future.
    function isLive(bytes32 grantId, bytes32 sid, uint40 time) external view returns (bool);

    /// @notice The record of a grant for one of its streams; all zero when unknown, revoked by stream, or given by a
    /// former owner. Being recorded does not mean being live.
    function grantOf(bytes32 grantId, bytes32 sid) external view returns (Entry memory);

    /// @notice Whether a revocation was recorded under an account ahead of the grant or for all its streams (`sid =
    /// 0`).
    function isVoided(address account, bytes32 grantId, bytes32 sid) external view returns (bool);

    /// @notice The two sides of a pairing; zero when not paired.
    function pairingOf(bytes32 deviceHash) external view returns (Pairing memory);

    /// @notice Whether an account has used a nonce.
    function nonceUsed(address account, uint256 nonce) external view returns (bool);

    /// @notice The EIP-712 digest of the message in a call that could be in a batch; its signatures may be missing.
    function digestOf(bytes calldata call) external view returns (bytes32);
}
