// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IVault } from "./IVault.sol";
import { Order } from "./MarketTypes.sol";

/// @dev Signed by the account: the operator may take up to `maxDebitPerPeriod` for each day up to `validUntil`, once a
/// day. Replaces the one before; `maxDebitPerPeriod = 0` revokes. `nonce` must be greater than the last.
struct NetMandate {
    address account;
    address operator;
    uint88 maxDebitPerPeriod;
    uint40 validUntil;
    uint32 nonce;
    uint40 deadline;
}

/// @dev Signed by the operator. `period` counts days since 1970 (UTC), `root` commits to the lines, `debits` and
/// `credits` are the hashes of the two lists of entries.
struct NetBatch {
    address operator;
    uint24 period;
    bytes32 root;
    bytes32 debits;
    bytes32 credits;
    uint40 deadline;
}

/// @dev Signed by a debtor who wants to see the lines behind its debit.
struct Demand {
    address account;
    address operator;
    uint24 period;
    uint40 deadline;
}

/// @dev An open batch, as it was settled: its parts in state are this hashed.
struct Net {
    bytes32 root;
    bytes32 debits;
    bytes32 credits;
    uint40 settledAt;
}

/// @dev Of a day's batch.
enum NetState {
    None,
    Open,
    Released,
    Void
}

/// @dev A line of a netting: what a request pays for. The leaf is
/// `keccak256(bytes.concat(keccak256(abi.encode(line))))`, in a tree that hashes pairs in ascending order.
struct Line {
    Order request;
    address seller;
    uint64 wh;
    uint88 price;
    uint88 amount;
    bytes signature;
}

/// @title Net settlement
/// @notice Settles many trades of a period by one sum for each member. The operator can take no more than a member's
/// mandate, once a period; credits wait for the dispute window; a line that its debtor did not sign voids the batch.
/// @dev Entries are 16 bytes, `uint32 member | uint96 amount`, in ascending order of members. Requests are signed for
/// this contract's own domain, so that what is netted here cannot be settled in a market as well.
interface INetSettlement is IVault {
    /// @notice Records a mandate. Days before today cannot be taken under it.
    function setMandate(NetMandate calldata m, bytes calldata sig) external;

    /// @notice Takes the debits of a period. The sum of the credits must be the same, and they wait. Refused while the
    /// batch of 32 days before, or of any earlier day with the same record, has not ended.
    function settleNet(NetBatch calldata m, bytes calldata debits, bytes calldata credits, bytes calldata sig) external;

    /// @notice Pays the credits of a batch, once the dispute window is over and no demand is open. Anybody may call it.
    function releaseNet(address operator, uint24 period, Net calldata net, bytes calldata credits) external;

    /// @notice Voids a batch by a line in it that its debtor did not sign, or that is outside what it signed. All
    /// debits go back, and the operator's deposit goes to that debtor.
    function voidNet(
        address operator,
        uint24 period,
        Net calldata net,
        bytes calldata debits,
        Line calldata line,
        bytes32[] calldata path
    ) external;

    /// @notice A debtor asks the operator to show the lines behind its debit, once, within the dispute window.
    /// @param index Place of the debtor's entry.
    function demandLines(Demand calldata m, Net calldata net, bytes calldata debits, uint256 index, bytes calldata sig)
        external;

    /// @notice Shows lines that cover a debit: signed, in the root, no request above what it asked for. Ascending by
    /// `keccak256(abi.encode(request))`, lines of one request by their leaves. Anybody may call it.
    function showLines(
        address operator,
        uint24 period,
        Net calldata net,
        bytes calldata debits,
        uint256 index,
        Line[] calldata lines,
        bytes32[][] calldata paths
    ) external;

    /// @notice Voids a batch because a debtor's lines were not shown in time.
    function voidUnshown(address operator, uint24 period, Net calldata net, bytes calldata debits, uint256 index)
        external;

    /// @notice Where keys stand that sign requests for accounts.
    function anchors() external view returns (address);

    /// @notice Seconds that credits wait.
    function disputeWindow() external view returns (uint32);

    /// @notice What became of a day's batch, and how many demands are open on it. `None` again once a later day uses
    /// its record: 32 days later or more.
    function netOf(address operator, uint24 period) external view returns (NetState state, uint256 demands);
}
