// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IMarket } from "../interfaces/IMarket.sol";
import { Counter, Evidence, Match, Order, Provision, State, Trade } from "../interfaces/MarketTypes.sol";
import { CommonErrors } from "../libraries/CommonErrors.sol";
import { METER_TOLERANCE } from "../libraries/MarketConstants.sol";
import { MarketErrors } from "../libraries/MarketErrors.sol";
import { MarketEvents } from "../libraries/MarketEvents.sol";
import { MarketMessages } from "../libraries/MarketMessages.sol";
import { Signers } from "../libraries/Signers.sol";
import { MarketStore } from "./MarketStore.sol";

/// @title What was delivered
abstract contract Delivery is MarketStore {
    /// @inheritdoc IMarket
    function report(Provision calldata m, bytes calldata sig) external {
        (Trade storage trade, bool bySeller) = _reported(m, sig, State.Matched);
        _requireFrom(trade.start);
        _requireBefore(_lapseTime(trade));

        trade.firstWh = _capped(trade, m.wh);
        trade.firstBySeller = bySeller;
        trade.mark = uint40(block.timestamp);
        trade.state = State.Reported;
    }

    /// @inheritdoc IMarket
    function answer(Provision calldata m, bytes calldata sig) external {
        (Trade storage trade, bool bySeller) = _reported(m, sig, State.Reported);
        _requireBefore(uint256(trade.mark) + _terms[trade.terms].provisionGrace);
        if (bySeller == trade.firstBySeller) revert MarketErrors.ReportedAlready(m.contractId, m.account);

        uint64 wh = _capped(trade, m.wh);
        if (wh == trade.firstWh) {
            _deliver(m.operator, m.contractId, trade, wh);
        } else {
            trade.otherWh = wh;
            trade.mark = uint40(block.timestamp);
            trade.state = State.Contested;
        }
    }

    /// @inheritdoc IMarket
    function stand(address operator, bytes32 contractId) external {
        Trade storage trade = _in(operator, contractId, State.Reported);
        _requireFrom(uint256(trade.mark) + _terms[trade.terms].provisionGrace);
        trade.unanswered = trade.firstBySeller;
        _deliver(operator, contractId, trade, trade.firstWh);
    }

    /// @inheritdoc IMarket
    function settleSmaller(address operator, bytes32 contractId) external {
        Trade storage trade = _in(operator, contractId, State.Contested);
        _requireFrom(uint256(trade.mark) + _terms[trade.terms].disputeWindow);
        _deliver(operator, contractId, trade, _smaller(trade));
    }

    /// @inheritdoc IMarket
    function measure(Match calldata m, Order calldata order, Evidence calldata evidence) external {
        (bytes32 contractId, uint64 wh) = _measured(m, order, evidence);
        Trade storage trade = _in(m.operator, contractId, State.Contested);
        _requireBefore(uint256(trade.mark) + _terms[trade.terms].disputeWindow);
        // A meter decides between the two; it gives nobody more than was said.
        uint64 low = _smaller(trade);
        uint64 high = trade.firstWh > trade.otherWh ? trade.firstWh : trade.otherWh;
        if (wh < low) wh = low;
        if (wh > high) wh = high;
        _deliver(m.operator, contractId, trade, wh);
    }

    /// @dev What a meter named in one of the contract's orders counted between start and end. Match and order stand
    /// first in the call.
    function _measured(Match calldata m, Order calldata order, Evidence calldata evidence)
        internal
        view
        returns (bytes32 contractId, uint64 wh)
    {
        contractId = _hashTypedDataV4(_hashWords(MarketMessages.MATCH, msg.data, 9));
        bytes32 typeHash = evidence.ofSeller ? MarketMessages.OFFER : MarketMessages.REQUEST;
        bytes32 named = evidence.ofSeller ? m.offer : m.request;
        bytes32 given = _hashTypedDataV4(_hashOrder(typeHash, 9));
        if (given != named) revert MarketErrors.WrongOrder(named, given);
        bool sound = order.device != address(0) && evidence.first.device == order.device
            && evidence.last.device == order.device && _near(evidence.first.meterTime, m.start)
            && _near(evidence.last.meterTime, m.end) && evidence.first.counterWh <= evidence.last.counterWh;
        if (!sound) revert MarketErrors.WrongEvidence();
        _requireCounted(evidence.first, evidence.firstSig);
        _requireCounted(evidence.last, evidence.lastSig);
        wh = evidence.last.counterWh - evidence.first.counterWh;
    }

    /// @dev Who reports, in the state in which that is possible.
    function _reported(Provision calldata m, bytes calldata sig, State state)
        private
        returns (Trade storage trade, bool bySeller)
    {
        _accept(m.account, MarketMessages.PROVISION, 5, m.deadline, sig);
        trade = _in(m.operator, m.contractId, state);
        bySeller = _isSeller(m.operator, m.contractId, trade, m.account);
        emit MarketEvents.Provisioned(m.contractId, m.account, m.wh);
    }

    /// @dev By a key on either curve: many a meter's secure element has P-256 only.
    function _requireCounted(Counter calldata counter, bytes calldata sig) private view {
        bytes32 digest = _hashTypedDataV4(MarketMessages.hash(counter));
        if (Signers.deviceOf(digest, sig, true) != counter.device) revert CommonErrors.WrongSigner(counter.device);
    }

    function _near(uint40 time, uint40 wanted) private pure returns (bool) {
        return uint256(time) + METER_TOLERANCE >= wanted && time <= uint256(wanted) + METER_TOLERANCE;
    }

    /// @dev More than was contracted is delivered for nothing; the excess is settled elsewhere.
    function _capped(Trade storage trade, uint64 wh) private view returns (uint64) {
        return wh < trade.wh ? wh : trade.wh;
    }
}
