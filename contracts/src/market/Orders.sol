// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { IAnchors } from "../interfaces/IAnchors.sol";
import { IMarket } from "../interfaces/IMarket.sol";
import { Member } from "../interfaces/IVault.sol";
import { Cancel, Fill, Match, Order, State, Terms, Trade } from "../interfaces/MarketTypes.sol";
import { CommonErrors } from "../libraries/CommonErrors.sol";
import { SCOPE_ORDERS } from "../libraries/MarketConstants.sol";
import { MarketErrors } from "../libraries/MarketErrors.sol";
import { MarketEvents } from "../libraries/MarketEvents.sol";
import { MarketMessages } from "../libraries/MarketMessages.sol";
import { Signers } from "../libraries/Signers.sol";
import { MarketStore } from "./MarketStore.sol";

/// @title Terms, orders and their matching
abstract contract Orders is MarketStore {
    using SafeCast for uint256;

    IAnchors private immutable _anchors;

    mapping(bytes32 terms => uint24 number) private _termsNumbers;
    uint24 private _termsCount;
    mapping(bytes32 order => Fill) private _fills;

    /// @dev By account, because an order that nobody has seen says nothing about whose it is.
    mapping(address account => mapping(bytes32 order => bool)) private _cancelled;

    constructor(IAnchors anchors_) {
        if (address(anchors_) == address(0)) revert CommonErrors.ZeroAddress();
        _anchors = anchors_;
    }

    /* TERMS */

    /// @inheritdoc IMarket
    function publishTerms(Terms calldata body) external returns (bytes32 id) {
        uint256 longest =
            uint256(body.paymentDue) + 3 * uint256(body.reminderEvery) + body.disputeWindow + body.rulingWindow;
        bool bad = body.operator == address(0) || body.penaltyBps > 10_000 || body.cancelBps > 10_000;
        // A withdrawal begun on the day of delivery must not leave before the last claim on it is decided.
        if (bad || longest > withdrawWait()) revert MarketErrors.BadTerms();
        id = keccak256(abi.encode(body));
        if (_termsNumbers[id] != 0) revert MarketErrors.TermsExist();

        uint24 number = ++_termsCount;
        _termsNumbers[id] = number;
        _terms[number] = body;

        emit MarketEvents.TermsPublished(id, body.operator);
    }

    /* MATCHING */

    /// @inheritdoc IMarket
    function makeContract(
        Match calldata m,
        Order calldata offer,
        Order calldata request,
        bytes calldata operatorSig,
        bytes calldata offerSig,
        bytes calldata requestSig
    ) external returns (bytes32 contractId) {
        contractId = _accept(m.operator, MarketMessages.MATCH, 9, m.deadline, operatorSig);
        Trade storage trade = _in(m.operator, contractId, State.None);
        uint24 terms = _requireFit(m, offer, request);
        _requireOrderSigned(offer, _hashOrder(MarketMessages.OFFER, 9), m.offer, offerSig);
        _requireOrderSigned(request, _hashOrder(MarketMessages.REQUEST, 20), m.request, requestSig);

        trade.carry = _fill(m.offer, offer.wh, m.wh, m.price);
        _fill(m.request, request.wh, m.wh, 0);
        (trade.wh, trade.price) = (m.wh, m.price);
        (trade.start, trade.end) = (m.start, m.end);
        trade.terms = terms;
        trade.state = State.Matched;
        _engage(trade, m.operator, offer.account, request.account);

        _announce(m, contractId, trade, offer.account, request.account);
    }

    /// @inheritdoc IMarket
    function cancelOrder(Cancel calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.CANCEL, 4, m.deadline, sig);
        _cancelled[m.account][m.id] = true;

        emit MarketEvents.OrderCancelled(m.account, m.id);
    }

    /// @inheritdoc IMarket
    function cancelContract(Cancel calldata m, bytes calldata sig, bytes calldata otherSig) external {
        bytes32 digest = _accept(m.account, MarketMessages.CANCEL, 4, m.deadline, sig);
        Trade storage trade = _in(m.operator, m.id, State.Matched);
        bool bySeller = _isSeller(m.operator, m.id, trade, m.account);
        // Between start and grace the other side may be delivering; nobody gets out then.
        uint256 graceOver = uint256(trade.start) + _terms[trade.terms].startGrace;
        if (block.timestamp >= trade.start && block.timestamp < graceOver) revert MarketErrors.TooEarly(graceOver);
        Member storage other = _member(m.operator, bySeller ? trade.buyer : trade.seller);
        if (otherSig.length != 0) Signers.requireSigned(other.account, digest, otherSig);

        uint88 fee = otherSig.length == 0 ? _share(trade.due, _terms[trade.terms].cancelBps) : 0;
        _end(m.operator, trade);
        if (fee != 0) {
            fee = _seize(_member(m.operator, bySeller ? trade.seller : trade.buyer), fee);
            other.balance += fee;
        }

        emit MarketEvents.ContractCancelled(m.id, m.account, fee);
    }

    /// @inheritdoc IMarket
    function lapse(address operator, bytes32 contractId) external {
        Trade storage trade = _in(operator, contractId, State.Matched);
        _requireFrom(_lapseTime(trade));

        _end(operator, trade);

        emit MarketEvents.ContractCancelled(contractId, address(0), 0);
    }

    /* VIEWS */

    /// @inheritdoc IMarket
    function anchors() external view returns (address) {
        return address(_anchors);
    }

    /// @inheritdoc IMarket
    function termsOf(bytes32 id) external view returns (Terms memory) {
        return _terms[_termsNumbers[id]];
    }

    /// @inheritdoc IMarket
    function contractOf(address operator, bytes32 contractId) external view returns (Trade memory) {
        return _trades[operator][contractId];
    }

    /// @inheritdoc IMarket
    function filledOf(bytes32 order) external view returns (uint64 wh) {
        return _fills[order].wh;
    }

    /// @inheritdoc IMarket
    function isCancelled(address account, bytes32 order) external view returns (bool) {
        return _cancelled[account][order];
    }

    /* INTERNAL */

    function _announce(Match calldata m, bytes32 contractId, Trade storage trade, address seller, address buyer)
        private
    {
        (uint88 due, bool escrowed) = (trade.due, trade.escrowed);
        emit MarketEvents.Matched(contractId, seller, buyer, m.offer, m.request, m.wh, m.price, due, escrowed);
    }

    /// @dev What the operator may not decide: the orders bind it to their terms, partners, prices and times.
    function _requireFit(Match calldata m, Order calldata offer, Order calldata request)
        private
        view
        returns (uint24 terms)
    {
        bool same = offer.operator == m.operator && request.operator == m.operator && offer.terms == request.terms;
        if (!same) revert MarketErrors.OrdersDiffer();
        terms = _termsNumbers[offer.terms];
        if (_terms[terms].operator != m.operator) revert MarketErrors.TermsUnknown(offer.terms);
        if (offer.account == request.account) revert MarketErrors.SelfTrade(offer.account);
        if (offer.partner != address(0) && offer.partner != request.account) {
            revert MarketErrors.WrongPartner(request.account);
        }
        if (request.partner != address(0) && request.partner != offer.account) {
            revert MarketErrors.WrongPartner(offer.account);
        }
        if (m.price < offer.price || m.price > request.price) revert MarketErrors.PriceOutsideLimits(m.price);
        uint40 from = offer.start > request.start ? offer.start : request.start;
        uint40 until = offer.end < request.end ? offer.end : request.end;
        if (m.start < from || m.end > until || m.start >= m.end || m.end <= block.timestamp) {
            revert MarketErrors.TimeOutsideLimits();
        }
    }

    /// @dev By the account, or by a key that stands for it in the anchored lane, where orders live until they meet. An
    /// account is never a key of P-256, whatever its address: only its 65 bytes count, here as for every other message.
    function _requireOrderSigned(Order calldata order, bytes32 structHash, bytes32 named, bytes calldata sig)
        private
        view
    {
        _requireInTime(order.deadline);
        bytes32 digest = _hashTypedDataV4(structHash);
        if (digest != named) revert MarketErrors.WrongOrder(named, digest);
        if (_cancelled[order.account][digest]) revert MarketErrors.OrderCancelled(digest);
        address key = Signers.deviceOf(digest, sig, true);
        if (key != address(0)) {
            if (key == order.account && sig.length == 65) return;
            if (_anchors.isDelegate(order.account, key, SCOPE_ORDERS, uint40(block.timestamp))) return;
        }
        Signers.requireSigned(order.account, digest, sig);
    }

    /// @dev Fills an order and keeps the thousandths; returns those that were there before.
    function _fill(bytes32 order, uint64 total, uint64 wh, uint88 price) private returns (uint16 carry) {
        Fill memory fill = _fills[order];
        // The total is part of what the order's digest commits to, so no fill has passed it.
        uint64 left = total - fill.wh;
        if (wh == 0 || wh > left) revert MarketErrors.OverFilled(order, left);
        carry = fill.carry;
        // forge-lint: disable-next-line(unsafe-typecast)
        _fills[order] = Fill(fill.wh + wh, uint16((uint256(wh) * price + carry) % 1000));
    }

    /// @dev Enters both partners, reserves the money where the terms ask for it or the buyer has paid nothing yet.
    function _engage(Trade storage trade, address operator, address seller, address buyer) private {
        (trade.seller, trade.buyer) = (_enrol(operator, seller), _enrol(operator, buyer));
        Member storage from = _member(operator, trade.buyer);
        if (from.openClaims != 0) revert MarketErrors.Excluded(buyer);
        if (_member(operator, trade.seller).openClaims != 0) revert MarketErrors.Excluded(seller);
        trade.due = _amountOf(trade, trade.wh);
        if (_terms[trade.terms].escrow || from.serial == 0) {
            trade.escrowed = true;
            _take(from, trade.due);
        }
    }
}
