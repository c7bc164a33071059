// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { IMarket } from "../interfaces/IMarket.sol";
import { Member } from "../interfaces/IVault.sol";
import { State, Terms, Trade } from "../interfaces/MarketTypes.sol";
import { MarketErrors } from "../libraries/MarketErrors.sol";
import { MarketEvents } from "../libraries/MarketEvents.sol";
import { Vault } from "./Vault.sol";

/// @title State and rules that the market's parts share
abstract contract MarketStore is IMarket, Vault {
    using SafeCast for uint256;

    mapping(address operator => mapping(bytes32 contractId => Trade)) internal _trades;
    mapping(uint256 number => Terms) internal _terms;

    /* ORDERS */

    /// @dev The struct hash of an order that stands in the call after so many words.
    function _hashOrder(bytes32 typeHash, uint256 after_) internal pure returns (bytes32) {
        return keccak256(bytes.concat(typeHash, msg.data[4 + after_ * 32:4 + (after_ + 11) * 32]));
    }

    /* PARTNERS AND STATES */

    /// @dev Every transition names the one state that it starts from, here or, for the many contracts of a payment, in
    /// `Payments`.
    function _in(address operator, bytes32 contractId, State state) internal view returns (Trade storage trade) {
        trade = _trades[operator][contractId];
        if (trade.state != state) revert MarketErrors.WrongState(contractId, uint8(trade.state));
    }

    /// @dev `number` is the seller's or the buyer's of the contract.
    function _requirePartner(address operator, bytes32 contractId, uint32 number, address account) internal view {
        if (_members[operator][number].account != account) revert MarketErrors.NotPartner(contractId, account);
    }

    /// @dev Whether the account is the seller; it must be one of the two.
    function _isSeller(address operator, bytes32 contractId, Trade storage trade, address account)
        internal
        view
        returns (bool bySeller)
    {
        bySeller = _members[operator][trade.seller].account == account;
        if (!bySeller) _requirePartner(operator, contractId, trade.buyer, account);
    }

    function _requireFrom(uint256 time) internal view {
        if (block.timestamp < time) revert MarketErrors.TooEarly(time);
    }

    function _requireBefore(uint256 time) internal view {
        if (block.timestamp >= time) revert MarketErrors.TooLate(time);
    }

    /// @dev When a contract of which nobody said anything is over.
    function _lapseTime(Trade storage trade) internal view returns (uint256) {
        Terms storage terms = _terms[trade.terms];
        return uint256(trade.end) + terms.provisionGrace + terms.disputeWindow;
    }

    /* MONEY */

    /// @dev floor((carry + wh x price) / 1000). With the carry of the fills before, the parts of an offer add up to
    /// what the whole would cost.
    function _amountOf(Trade storage trade, uint64 wh) internal view returns (uint88) {
        return ((uint256(wh) * trade.price + trade.carry) / 1000).toUint88();
    }

    function _penaltyOf(Terms storage terms, uint88 amount) internal view returns (uint88) {
        return _share(amount, terms.penaltyBps);
    }

    /// @dev At most the amount itself, because terms allow no more than 10,000.
    function _share(uint88 amount, uint16 bps) internal pure returns (uint88) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint88(uint256(amount) * bps / 10_000);
    }

    /// @dev Settles what was delivered: fixes what is owed and gives back what was reserved above it.
    function _deliver(address operator, bytes32 contractId, Trade storage trade, uint64 wh) internal {
        uint88 due = _amountOf(trade, wh);
        if (trade.escrowed) _members[operator][trade.buyer].balance += trade.due - due;
        trade.due = due;
        trade.firstWh = wh;
        trade.mark = uint40(block.timestamp);
        // Nothing delivered is nothing owed: no payment follows that could close the contract.
        trade.state = due == 0 ? State.Resolved : State.Delivered;
        emit MarketEvents.Delivered(contractId, wh, due);
    }

    /// @dev Ends a contract before delivery.
    function _end(address operator, Trade storage trade) internal {
        trade.state = State.Cancelled;
        if (trade.escrowed) _members[operator][trade.buyer].balance += trade.due;
        trade.due = 0;
    }

    function _smaller(Trade storage trade) internal view returns (uint64) {
        return trade.firstWh < trade.otherWh ? trade.firstWh : trade.otherWh;
    }

    function _member(address operator, uint32 number) internal view returns (Member storage) {
        return _members[operator][number];
    }
}
