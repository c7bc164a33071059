// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IMarket } from "../interfaces/IMarket.sol";
import { Member } from "../interfaces/IVault.sol";
import { Confirm, Payment, State, Trade } from "../interfaces/MarketTypes.sol";
import { MarketErrors } from "../libraries/MarketErrors.sol";
import { MarketEvents } from "../libraries/MarketEvents.sol";
import { MarketMessages } from "../libraries/MarketMessages.sol";
import { MarketStore } from "./MarketStore.sol";

/// @title Payment
abstract contract Payments is MarketStore {
    /// @inheritdoc IMarket
    function pay(Payment calldata m, bytes calldata sig) external nonReentrant {
        if (m.contracts.length == 0) revert MarketErrors.NoContracts();
        _acceptHashed(m.payer, MarketMessages.hash(m), m.deadline, sig);
        uint32 payer = _number(m.operator, m.payer);

        (uint88 open, uint88 reserved) = _markPaid(m, payer);
        if (open + reserved != m.amount) revert MarketErrors.WrongTotal(m.amount, open + reserved);
        Member storage member = _member(m.operator, payer);
        // forge-lint: disable-next-line(unsafe-typecast)
        member.serial += uint32(m.contracts.length);
        if (m.fromWallet) {
            _payFromWallet(m);
        } else if (open != 0) {
            _take(member, open);
        }
    }

    /// @inheritdoc IMarket
    function confirm(Confirm calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.CONFIRM, 4, m.deadline, sig);
        Trade storage trade = _in(m.operator, m.contractId, State.Paid);
        _requirePartner(m.operator, m.contractId, trade.seller, m.account);

        trade.state = State.Confirmed;

        emit MarketEvents.Confirmed(m.contractId);
    }

    /* INTERNAL */

    /// @dev Marks all contracts paid and credits the sellers, except where a wallet pays them.
    function _markPaid(Payment calldata m, uint32 payer) private returns (uint88 open, uint88 reserved) {
        mapping(bytes32 => Trade) storage trades = _trades[m.operator];
        mapping(uint256 => Member) storage members = _members[m.operator];
        for (uint256 i; i < m.contracts.length; ++i) {
            bytes32 id = m.contracts[i];
            Trade storage trade = trades[id];
            if (trade.state != State.Delivered) revert MarketErrors.WrongState(id, uint8(trade.state));
            if (trade.buyer != payer) revert MarketErrors.NotPartner(id, m.payer);
            uint88 due = trade.due;
            bool escrowed = trade.escrowed;
            trade.state = State.Paid;
            if (escrowed) reserved += due;
            else open += due;
            if (escrowed || !m.fromWallet) members[trade.seller].balance += due;
            emit MarketEvents.Paid(id, due);
        }
    }

    /// @dev Wallet to wallet, after all is written. What was reserved went out of the reserve.
    function _payFromWallet(Payment calldata m) private {
        for (uint256 i; i < m.contracts.length; ++i) {
            Trade storage trade = _trades[m.operator][m.contracts[i]];
            if (!trade.escrowed) _pull(m.payer, _member(m.operator, trade.seller).account, trade.due);
        }
    }
}
