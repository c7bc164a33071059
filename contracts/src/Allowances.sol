// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { Messenger } from "./base/Messenger.sol";
import { Allowance, Funding, IAllowances } from "./interfaces/IAllowances.sol";
import { IMarket } from "./interfaces/IMarket.sol";
import { State, Trade } from "./interfaces/MarketTypes.sol";
import { DAY } from "./libraries/MarketConstants.sol";
import { MarketErrors } from "./libraries/MarketErrors.sol";
import { MarketEvents } from "./libraries/MarketEvents.sol";
import { MarketMessages } from "./libraries/MarketMessages.sol";
import { Guarded } from "./market/Guarded.sol";

/// @title Allowances
/// @notice See {IAllowances}.
contract Allowances is IAllowances, Messenger, Guarded {
    using SafeERC20 for IERC20;

    IMarket private immutable _market;
    IERC20 private immutable _token;

    mapping(address owner => mapping(address operator => mapping(address account => Funding))) private _fundings;
    mapping(address owner => mapping(address operator => mapping(bytes32 contractId => uint88))) private _drawn;

    constructor(IMarket market_) EIP712("Wattpact Allowances", "1") {
        _market = market_;
        _token = IERC20(market_.token());
    }

    /// @inheritdoc IAllowances
    function allow(Allowance calldata m, bytes calldata sig) external {
        _accept(m.owner, MarketMessages.ALLOWANCE, 8, m.deadline, sig);
        Funding storage funding = _fundings[m.owner][m.operator][m.account];
        if (m.nonce <= funding.nonce) revert MarketErrors.Outdated(m.nonce, funding.nonce);

        // What was spent today stays spent: a new allowance is no second one.
        (funding.perDay, funding.perContract) = (m.perDay, m.perContract);
        (funding.nonce, funding.validUntil) = (m.nonce, m.validUntil);

        emit MarketEvents.Allowed(m.owner, m.account, m.operator, m.perDay, m.perContract, m.validUntil);
    }

    /// @inheritdoc IAllowances
    function fund(address owner, address operator, address account, bytes32 contractId) external nonReentrant {
        Trade memory trade = _market.contractOf(operator, contractId);
        if (_market.numberOf(operator, account) != trade.buyer) revert MarketErrors.NotPartner(contractId, account);
        uint88 amount = _missing(trade, _market.memberOf(operator, account).balance);
        if (amount == 0) revert MarketErrors.NothingToFund(contractId);

        uint88 drawn = _drawn[owner][operator][contractId];
        _spend(_fundings[owner][operator][account], amount, drawn);
        _drawn[owner][operator][contractId] = drawn + amount;

        emit MarketEvents.Funded(contractId, owner, amount);
        // The market insists on the whole amount, so a token that takes a fee fails there. The owner signed that its wallet
        // may be asked, and `_spend` holds that down; the money can go into the named account's book only.
        // slither-disable-next-line arbitrary-send-erc20
        _token.safeTransferFrom(owner, address(this), amount);
        _token.forceApprove(address(_market), amount);
        _market.depositFor(operator, account, amount);
    }

    /// @inheritdoc IAllowances
    function market() external view returns (address) {
        return address(_market);
    }

    /// @inheritdoc IAllowances
    function fundingOf(address owner, address operator, address account) external view returns (Funding memory) {
        return _fundings[owner][operator][account];
    }

    /// @inheritdoc IAllowances
    function drawnFor(address owner, address operator, bytes32 contractId) external view returns (uint88) {
        return _drawn[owner][operator][contractId];
    }

    function _structHash(bytes calldata call) internal pure override returns (bytes32) {
        bool allows = bytes4(call[:4]) == IAllowances.allow.selector;
        return allows ? _hashWords(MarketMessages.ALLOWANCE, call, 8) : bytes32(0);
    }

    /// @dev What the balance lacks for a delivered contract that nothing is reserved for, or for a claim beyond what is
    /// taken for it already. A claim that is contested waits for its ruling.
    function _missing(Trade memory trade, uint88 balance) private pure returns (uint88) {
        bool owed = trade.state == State.Claimed || (trade.state == State.Delivered && !trade.escrowed);
        uint88 cost = owed ? trade.due - trade.held : 0;
        return cost > balance ? cost - balance : 0;
    }

    /// @dev What was drawn for the contract before counts: an account that takes the money out of its book again gets no more.
    function _spend(Funding storage funding, uint88 amount, uint88 drawn) private {
        // forge-lint: disable-next-line(unsafe-typecast)
        uint24 day = uint24(block.timestamp / DAY);
        // A day is equal or it is another one; nobody gains by moving from one to the next.
        // slither-disable-next-line incorrect-equality
        uint88 spent = funding.day == day ? funding.spent : 0;
        uint88 left = spent < funding.perDay ? funding.perDay - spent : 0;
        uint88 rest = drawn < funding.perContract ? funding.perContract - drawn : 0;
        if (left > rest) left = rest;
        if (block.timestamp > funding.validUntil) left = 0;
        if (amount > left) revert MarketErrors.AllowanceShort(left, amount);
        (funding.day, funding.spent) = (day, spent + amount);
    }
}
