// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { MerkleProof } from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import { IAnchors } from "../interfaces/IAnchors.sol";
import { Line } from "../interfaces/INetSettlement.sol";
import { Order } from "../interfaces/MarketTypes.sol";
import { DAY, SCOPE_ORDERS } from "./MarketConstants.sol";
import { MarketErrors } from "./MarketErrors.sol";
import { Signers } from "./Signers.sol";

/// @title Lines of a netting
library Lines {
    /// @notice The leaf of a line. Hashed twice, so that no inner node of the tree passes for one.
    function leaf(Line calldata line) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(line))));
    }

    /// @notice Reverts unless the line is in the tree.
    function requireIn(Line calldata line, bytes32[] calldata path, bytes32 root) internal pure {
        if (!MerkleProof.verifyCalldata(path, root, leaf(line))) revert MarketErrors.LineNotInRoot();
    }

    /// @notice Whether a line's debtor is bound by it: it asked this operator for energy on this day, for as much and at
    /// this price or more, and the amount is right to the rounding that parts of a whole need.
    /// @dev The key counts as at the start of delivery, the one time that cannot be moved afterwards. EIP-1271 is not
    /// asked: its answer may change with time, and a batch must not become void by that. P-256 is for keys that stand
    /// for an account, never for the account itself.
    function isSound(Line calldata line, bytes32 digest, address operator, uint24 period, IAnchors anchors)
        internal
        view
        returns (bool)
    {
        Order calldata request = line.request;
        bool within = request.operator == operator && request.start / DAY == period && line.wh <= request.wh
            && line.price <= request.price && line.seller != request.account
            && uint256(line.amount) * 1000 <= uint256(line.wh) * line.price + 999;
        bool partner = request.partner == address(0) || request.partner == line.seller;
        if (!within || !partner) return false;
        address key = Signers.deviceOf(digest, line.signature, true);
        if (key == address(0)) return false;
        if (key == request.account && line.signature.length == 65) return true;
        return anchors.isDelegate(request.account, key, SCOPE_ORDERS, request.start);
    }

    /// @notice The sum of lines in the tree. Lines of one request stand together, requests ascending by
    /// `keccak256(abi.encode(request))`, lines of one request by their leaves: so no line counts twice, and no request
    /// for more than it asked.
    function sum(Line[] calldata lines, bytes32[][] calldata paths, bytes32 root)
        internal
        pure
        returns (uint256 amount)
    {
        if (lines.length != paths.length) revert MarketErrors.LineNotInRoot();
        bytes32 lastRequest = 0;
        bytes32 lastLeaf = 0;
        uint256 wh = 0;
        for (uint256 i = 0; i < lines.length; ++i) {
            requireIn(lines[i], paths[i], root);
            bytes32 request = keccak256(abi.encode(lines[i].request));
            bytes32 current = leaf(lines[i]);
            if (request == lastRequest) {
                if (current <= lastLeaf) revert MarketErrors.EntriesNotAscending(i);
            } else {
                if (request < lastRequest) revert MarketErrors.EntriesNotAscending(i);
                (lastRequest, wh) = (request, 0);
            }
            lastLeaf = current;
            wh += lines[i].wh;
            if (wh > lines[i].request.wh) revert MarketErrors.OverFilled(request, 0);
            amount += lines[i].amount;
        }
    }
}
