// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IMarket } from "../interfaces/IMarket.sol";
import { Member } from "../interfaces/IVault.sol";
import {
    Cure,
    Dispute,
    Evidence,
    IssueClaim,
    Match,
    Order,
    Remind,
    Ruling,
    State,
    Terms,
    Trade
} from "../interfaces/MarketTypes.sol";
import { REMINDERS } from "../libraries/MarketConstants.sol";
import { MarketErrors } from "../libraries/MarketErrors.sol";
import { MarketEvents } from "../libraries/MarketEvents.sol";
import { MarketMessages } from "../libraries/MarketMessages.sol";
import { Delivery } from "./Delivery.sol";

/// @title Reminders, claims and disputes
abstract contract Claims is Delivery {
    /// @inheritdoc IMarket
    function remind(Remind calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.REMIND, 5, m.deadline, sig);
        Trade storage trade = _in(m.operator, m.contractId, State.Delivered);
        _requirePartner(m.operator, m.contractId, trade.seller, m.account);
        uint8 next = trade.reminders + 1;
        if (next > REMINDERS || m.number != next) revert MarketErrors.WrongReminder(next);
        Terms storage terms = _terms[trade.terms];
        _requireFrom(uint256(trade.mark) + (next == 1 ? terms.paymentDue : terms.reminderEvery));

        trade.reminders = next;
        trade.mark = uint40(block.timestamp);

        emit MarketEvents.Reminded(m.contractId, next);
    }

    /// @inheritdoc IMarket
    function issueClaim(IssueClaim calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.ISSUE_CLAIM, 5, m.deadline, sig);
        Trade storage trade = _in(m.operator, m.contractId, State.Delivered);
        _requirePartner(m.operator, m.contractId, trade.seller, m.account);
        if (trade.reminders != REMINDERS) revert MarketErrors.RemindersMissing();
        Terms storage terms = _terms[trade.terms];
        _requireFrom(uint256(trade.mark) + terms.reminderEvery);

        uint88 held = trade.escrowed ? trade.due : 0;
        uint88 owed = trade.due + _penaltyOf(terms, trade.due);
        Member storage debtor = _member(m.operator, trade.buyer);
        held += _seize(debtor, owed - held);
        ++debtor.openClaims;
        (trade.due, trade.held) = (owed, held);
        trade.mark = uint40(block.timestamp);
        trade.state = State.Claimed;

        emit MarketEvents.ClaimIssued(m.contractId, owed, held, m.evidence);
    }

    /// @inheritdoc IMarket
    function cure(Cure calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.CURE, 4, m.deadline, sig);
        Trade storage trade = _in(m.operator, m.contractId, State.Claimed);
        _requirePartner(m.operator, m.contractId, trade.buyer, m.account);

        Member storage debtor = _member(m.operator, trade.buyer);
        uint88 owed = trade.due;
        uint88 missing = owed - trade.held;
        uint88 taken = _seize(debtor, missing);
        if (taken < missing) revert MarketErrors.BalanceShort(m.account, taken, missing);
        --debtor.openClaims;
        _member(m.operator, trade.seller).balance += owed;
        (trade.due, trade.held) = (0, 0);
        trade.state = State.Cured;

        emit MarketEvents.ClaimCured(m.contractId, owed);
    }

    /// @inheritdoc IMarket
    function dispute(Dispute calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.DISPUTE, 5, m.deadline, sig);
        Trade storage trade = _in(m.operator, m.contractId, State.Claimed);
        _requirePartner(m.operator, m.contractId, trade.buyer, m.account);
        _requireBefore(trade.ruled ? trade.mark : uint256(trade.mark) + _terms[trade.terms].disputeWindow);

        trade.mark = uint40(block.timestamp);
        trade.state = State.Disputed;

        emit MarketEvents.Disputed(m.contractId, m.reason);
    }

    /// @inheritdoc IMarket
    function rule(Ruling calldata m, bytes calldata sig) external {
        _accept(m.arbiter, MarketMessages.RULING, 5, m.deadline, sig);
        Trade storage trade = _openDispute(m.operator, m.contractId);
        if (_terms[trade.terms].arbiter != m.arbiter) revert MarketErrors.NotPartner(m.contractId, m.arbiter);
        _decide(m.operator, m.contractId, trade, m.wh);
    }

    /// @inheritdoc IMarket
    function measureClaim(Match calldata m, Order calldata order, Evidence calldata evidence) external {
        (bytes32 contractId, uint64 wh) = _measured(m, order, evidence);
        Trade storage trade = _openDispute(m.operator, contractId);
        if (!trade.unanswered) revert MarketErrors.AgreedAlready();
        _decide(m.operator, contractId, trade, wh);
    }

    /// @inheritdoc IMarket
    function closeDispute(address operator, bytes32 contractId) external {
        Trade storage trade = _in(operator, contractId, State.Disputed);
        _requireFrom(uint256(trade.mark) + _terms[trade.terms].rulingWindow);
        _decide(operator, contractId, trade, trade.firstWh);
    }

    /// @inheritdoc IMarket
    function collect(address operator, bytes32 contractId) external {
        Trade storage trade = _in(operator, contractId, State.Claimed);
        if (!trade.ruled) _requireFrom(uint256(trade.mark) + _terms[trade.terms].disputeWindow);

        Member storage debtor = _member(operator, trade.buyer);
        uint88 amount = trade.held;
        amount += _seize(debtor, trade.due - amount);
        if (amount == 0) revert MarketErrors.NothingToCollect();
        uint88 left = trade.due - amount;
        (trade.due, trade.held) = (left, 0);
        // Collected in parts or not, the first collection ends the time to contest.
        trade.ruled = true;
        _member(operator, trade.seller).balance += amount;
        if (left == 0) {
            --debtor.openClaims;
            trade.state = State.Resolved;
        }

        emit MarketEvents.Collected(contractId, amount, left);
    }

    /* INTERNAL */

    function _openDispute(address operator, bytes32 contractId) private view returns (Trade storage trade) {
        trade = _in(operator, contractId, State.Disputed);
        _requireBefore(uint256(trade.mark) + _terms[trade.terms].rulingWindow);
    }

    /// @dev Ends a dispute: never above what was claimed, and what is held above the decision goes back.
    function _decide(address operator, bytes32 contractId, Trade storage trade, uint64 wh) private {
        uint88 amount = _amountOf(trade, wh < trade.firstWh ? wh : trade.firstWh);
        uint88 owed = amount + _penaltyOf(_terms[trade.terms], amount);
        Member storage debtor = _member(operator, trade.buyer);
        if (trade.held > owed) {
            debtor.balance += trade.held - owed;
            trade.held = owed;
        }
        trade.due = owed;
        trade.ruled = true;
        if (owed == 0) {
            --debtor.openClaims;
            trade.state = State.Resolved;
        } else {
            trade.state = State.Claimed;
        }
        emit MarketEvents.Ruled(contractId, owed);
    }
}
