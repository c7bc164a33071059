// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import { Messenger } from "../base/Messenger.sol";
import { Deposit, IVault, Member, PermitSignature, Withdraw } from "../interfaces/IVault.sol";
import { CommonErrors } from "../libraries/CommonErrors.sol";
import { MarketErrors } from "../libraries/MarketErrors.sol";
import { MarketEvents } from "../libraries/MarketEvents.sol";
import { MarketMessages } from "../libraries/MarketMessages.sol";
import { Guarded } from "./Guarded.sol";

/// @title Vault
/// @notice See {IVault}.
/// @dev Every function that moves tokens is guarded against being entered again: a deposit is measured by the balance
/// before and after, which a token that calls back could have counted twice. What a function changes is written before
/// tokens go out.
abstract contract Vault is IVault, Messenger, Guarded {
    using SafeERC20 for IERC20;

    /* STORAGE */

    IERC20 private immutable _token;
    uint32 private immutable _withdrawWait;

    /// @dev Books: one for each operator, so that a netting or a payment names members by small numbers and cannot
    /// name another operator's. Number 1 is the operator itself, zero is nobody.
    mapping(address operator => mapping(uint256 number => Member)) internal _members;
    mapping(address operator => mapping(address account => uint32)) private _numbers;
    mapping(address operator => uint32) private _counts;

    constructor(IERC20 token_, uint32 withdrawWait_) {
        if (address(token_) == address(0)) revert CommonErrors.ZeroAddress();
        _token = token_;
        _withdrawWait = withdrawWait_;
    }

    /* IN AND OUT */

    /// @inheritdoc IVault
    function deposit(Deposit calldata m, bytes calldata sig) external nonReentrant {
        _deposit(m, sig);
    }

    /// @inheritdoc IVault
    // The permit calls the token before anything is written, under the guard that every function with tokens has.
    // slither-disable-next-line reentrancy-benign
    function depositWithPermit(Deposit calldata m, bytes calldata sig, PermitSignature calldata permit)
        external
        nonReentrant
    {
        // Anybody may have used the permit before, so its failure means nothing: the allowance decides.
        try IERC20Permit(address(_token))
            .permit(m.account, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s) { }
            catch { }
        _deposit(m, sig);
    }

    /// @inheritdoc IVault
    function depositFor(address operator, address account, uint88 amount) external nonReentrant {
        _credit(msg.sender, operator, account, amount);
    }

    /// @inheritdoc IVault
    function withdraw(Withdraw calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.WITHDRAW, 5, m.deadline, sig);
        Member storage member = _existing(m.operator, m.account);

        _useNonce(m.account, m.nonce);
        _take(member, m.amount);
        member.pending += m.amount;
        member.readyAt = uint40(block.timestamp) + _withdrawWait;

        emit MarketEvents.WithdrawalStarted(m.operator, m.account, member.pending, member.readyAt);
    }

    /// @inheritdoc IVault
    function takeOut(address operator, address account) external nonReentrant {
        Member storage member = _existing(operator, account);
        uint88 amount = member.pending;
        if (amount == 0) revert MarketErrors.NothingPending(account);
        if (block.timestamp < member.readyAt) revert MarketErrors.TooEarly(member.readyAt);

        member.pending = 0;

        emit MarketEvents.TakenOut(operator, account, amount);
        _token.safeTransfer(account, amount);
    }

    /* VIEWS */

    /// @inheritdoc IVault
    function token() external view returns (address) {
        return address(_token);
    }

    /// @inheritdoc IVault
    function withdrawWait() public view returns (uint32) {
        return _withdrawWait;
    }

    /// @inheritdoc IVault
    function memberOf(address operator, address account) external view returns (Member memory) {
        return _members[operator][_numbers[operator][account]];
    }

    /// @inheritdoc IVault
    function numberOf(address operator, address account) external view returns (uint32) {
        return _numbers[operator][account];
    }

    /* INTERNAL */

    function _deposit(Deposit calldata m, bytes calldata sig) private {
        _accept(m.account, MarketMessages.DEPOSIT, 5, m.deadline, sig);

        _useNonce(m.account, m.nonce);
        _credit(m.account, m.operator, m.account, m.amount);
    }

    function _credit(address payer, address operator, address account, uint88 amount) private {
        uint32 number = _enrol(operator, account);
        _pull(payer, address(this), amount);
        _members[operator][number].balance += amount;

        emit MarketEvents.Deposited(operator, account, amount);
    }

    /// @dev Moves tokens between wallets and insists that all of them arrive.
    function _pull(address from, address to, uint256 amount) internal {
        uint256 before = _token.balanceOf(to);
        _token.safeTransferFrom(from, to, amount);
        uint256 received = _token.balanceOf(to) - before;
        if (received != amount) revert MarketErrors.WrongAmountReceived(amount, received);
    }

    /// @dev The account's number in a book, new if need be.
    function _enrol(address operator, address account) internal returns (uint32 number) {
        number = _numbers[operator][account];
        if (number != 0) return number;
        if (operator == address(0) || account == address(0)) revert CommonErrors.ZeroAddress();
        if (_counts[operator] == 0) _add(operator, operator);
        return operator == account ? 1 : _add(operator, account);
    }

    function _add(address operator, address account) private returns (uint32 number) {
        number = ++_counts[operator];
        _numbers[operator][account] = number;
        _members[operator][number].account = account;
        emit MarketEvents.Enrolled(operator, account, number);
    }

    function _number(address operator, address account) internal view returns (uint32 number) {
        number = _numbers[operator][account];
        if (number == 0) revert MarketErrors.NotMember(operator, account);
    }

    function _existing(address operator, address account) internal view returns (Member storage) {
        return _members[operator][_number(operator, account)];
    }

    function _take(Member storage member, uint88 amount) internal {
        uint88 balance = member.balance;
        if (balance < amount) revert MarketErrors.BalanceShort(member.account, balance, amount);
        unchecked {
            member.balance = balance - amount;
        }
    }

    /// @dev Takes up to `amount` from what is there, first from the balance, then from what is on the way out.
    function _seize(Member storage member, uint88 amount) internal returns (uint88 taken) {
        taken = member.balance < amount ? member.balance : amount;
        member.balance -= taken;
        uint88 rest = amount - taken;
        uint88 pending = member.pending;
        if (rest == 0 || pending == 0) return taken;
        if (rest > pending) rest = pending;
        member.pending = pending - rest;
        return taken + rest;
    }
}
