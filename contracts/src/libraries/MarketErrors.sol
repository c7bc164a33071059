// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Errors of the market, of net settlement and of anchors
library MarketErrors {
    /// @notice A token called back into a function that moves tokens.
    error Reentered();

    /// @notice The account has no book with this operator.
    error NotMember(address operator, address account);

    /// @notice The balance in the operator's book is too small.
    error BalanceShort(address account, uint256 balance, uint256 needed);

    /// @notice The token delivered another amount than it was asked to. Tokens that take a fee cannot be used.
    error WrongAmountReceived(uint256 asked, uint256 received);

    /// @notice Nothing is on the way out.
    error NothingPending(address account);

    /// @notice The wait is not over.
    error TooEarly(uint256 from);

    /// @notice The time for this is over.
    error TooLate(uint256 until);

    /// @notice Terms must name an operator, must not take more than everything, and must end before money can leave.
    error BadTerms();

    /// @notice These terms were published already.
    error TermsExist();

    /// @notice These terms are not published, or are another operator's.
    error TermsUnknown(bytes32 terms);

    /// @notice The two orders do not name the same operator and terms as the match.
    error OrdersDiffer();

    /// @notice The body of an order is not the one that the match names.
    error WrongOrder(bytes32 named, bytes32 given);

    /// @notice One account cannot be both sides.
    error SelfTrade(address account);

    /// @notice An order admits another partner only.
    error WrongPartner(address account);

    /// @notice The price is below the offer's or above the request's.
    error PriceOutsideLimits(uint256 price);

    /// @notice The time of delivery is empty, over, or outside what an order allows.
    error TimeOutsideLimits();

    /// @notice The amount is zero or more than is left of an order.
    error OverFilled(bytes32 order, uint256 left);

    /// @notice The order was cancelled by its account.
    error OrderCancelled(bytes32 order);

    /// @notice The account has a claim against it that is neither cured nor resolved.
    error Excluded(address account);

    /// @notice This is not possible in the state in which the contract is.
    error WrongState(bytes32 contractId, uint8 state);

    /// @notice The account is not the partner of the contract who may do this.
    error NotPartner(bytes32 contractId, address account);

    /// @notice This partner has reported already.
    error ReportedAlready(bytes32 contractId, address account);

    /// @notice The meter readings do not belong to the contract: another device, another time, or running backwards.
    error WrongEvidence();

    /// @notice The contracts add up to another amount than was signed.
    error WrongTotal(uint256 signed, uint256 total);

    /// @notice A payment names no contract.
    error NoContracts();

    /// @notice Reminders are numbered 1, 2, 3.
    error WrongReminder(uint256 next);

    /// @notice Three reminders come before a claim.
    error RemindersMissing();

    /// @notice There is nothing to collect from the debtor now.
    error NothingToCollect();

    /// @notice A newer message of this kind is recorded already.
    error Outdated(uint256 nonce, uint256 newest);

    /// @notice The contract lacks no money that an allowance could bring.
    error NothingToFund(bytes32 contractId);

    /// @notice The buyer reported the delivery itself or it was measured before, so a meter decides nothing now.
    error AgreedAlready();

    /// @notice The allowance does not reach: unknown, over, or the amount is above what it leaves.
    error AllowanceShort(uint256 left, uint256 needed);

    /// @notice The anchor does not build on the head.
    error WrongHead(bytes32 head);

    /// @notice The key's right for this account has ended, for good.
    error DelegationEnded(address account, address key);

    /// @notice The period has not begun, or is settled already.
    error PeriodClosed(uint256 period);

    /// @notice The entries are not in ascending order of members, so one might be there twice, or name nobody.
    error EntriesNotAscending(uint256 member);

    /// @notice The list of entries is not a whole number of them.
    error BadEntries();

    /// @notice Debits and credits do not add up to zero.
    error NotZeroSum(uint256 debits, uint256 credits);

    /// @notice The mandate does not allow this debit: too much, not for this period, or a second time in it.
    error MandateShort(uint256 member);

    /// @notice The operator's own deposit is too small for a batch of this size.
    error DepositShort(uint256 has, uint256 needed);

    /// @notice No open batch has these contents.
    error NetUnknown(address operator, uint256 period);

    /// @notice The line is in the batch and its debtor did sign it, so it voids nothing.
    error LineSound();

    /// @notice A line is not the debtor's, or the debtor is not bound by it.
    error LineUnsound(uint256 index);

    /// @notice The lines shown do not cover the debit.
    error LinesShort(uint256 needed);

    /// @notice The path does not lead from this line to the batch's root.
    error LineNotInRoot();

    /// @notice The member is not a debtor of this batch.
    error NotDebtor(uint256 member);

    /// @notice The debtor has asked for its lines already, or nobody asked.
    error NoDemand(uint256 member);

    /// @notice A demand of a debtor is open.
    error DemandOpen(uint256 count);
}
