// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { IAnchors } from "./interfaces/IAnchors.sol";
import { Demand, INetSettlement, Line, Net, NetBatch, NetMandate, NetState } from "./interfaces/INetSettlement.sol";
import { IVault, Member } from "./interfaces/IVault.sol";
import { Balances } from "./libraries/Balances.sol";
import { CommonErrors } from "./libraries/CommonErrors.sol";
import { Lines } from "./libraries/Lines.sol";
import { ANSWER_TIME, DAY, DEPOSIT_PART, ENTRY, NET_PLACES } from "./libraries/MarketConstants.sol";
import { MarketErrors } from "./libraries/MarketErrors.sol";
import { MarketEvents } from "./libraries/MarketEvents.sol";
import { MarketMessages } from "./libraries/MarketMessages.sol";
import { Nettings } from "./libraries/Nettings.sol";
import { Places } from "./libraries/Places.sol";
import { Vault } from "./market/Vault.sol";

/// @title NetSettlement
/// @notice See {INetSettlement}.
contract NetSettlement is INetSettlement, Vault {
    using SafeCast for uint256;

    uint256 private constant SHOWN = type(uint256).max;

    IAnchors private immutable _anchors;
    uint32 private immutable _disputeWindow;

    /// @dev As `Places` lays them out.
    mapping(address operator => mapping(uint256 place => uint256)) private _nets;
    mapping(bytes32 net => mapping(uint256 member => uint256 until)) private _demands;

    constructor(IERC20 token_, uint32 withdrawWait_, IAnchors anchors_, uint32 disputeWindow_)
        EIP712("Wattpact NetSettlement", "1")
        Vault(token_, withdrawWait_)
    {
        if (address(anchors_) == address(0)) revert CommonErrors.ZeroAddress();
        // An operator must not get its deposit out while somebody can still show that it is forfeit.
        if (withdrawWait_ <= uint256(disputeWindow_) + ANSWER_TIME) revert MarketErrors.BadTerms();
        _anchors = anchors_;
        _disputeWindow = disputeWindow_;
    }

    /* MANDATES */

    /// @inheritdoc INetSettlement
    function setMandate(NetMandate calldata m, bytes calldata sig) external {
        _accept(m.account, MarketMessages.NET_MANDATE, 6, m.deadline, sig);
        Member storage member = _members[m.operator][_enrol(m.operator, m.account)];
        if (m.nonce <= member.serial) revert MarketErrors.Outdated(m.nonce, member.serial);

        uint256 until = m.validUntil / DAY;
        uint24 yesterday = _today() - 1;
        member.serial = m.nonce;
        member.maxDebit = m.maxDebitPerPeriod;
        // forge-lint: disable-next-line(unsafe-typecast)
        member.untilPeriod = until < type(uint24).max ? uint24(until) : type(uint24).max;
        if (member.lastPeriod < yesterday) member.lastPeriod = yesterday;

        emit MarketEvents.MandateSet(m.operator, m.account, m.maxDebitPerPeriod, m.validUntil, m.nonce);
    }

    /* NETTING */

    /// @inheritdoc INetSettlement
    function settleNet(NetBatch calldata m, bytes calldata debits, bytes calldata credits, bytes calldata sig)
        external
    {
        _accept(m.operator, MarketMessages.NET_BATCH, 6, m.deadline, sig);
        if (keccak256(debits) != m.debits || keccak256(credits) != m.credits) revert MarketErrors.BadEntries();
        mapping(uint256 => uint256) storage nets = _nets[m.operator];
        uint256 place = m.period % NET_PLACES;
        if (m.period > _today() || !Places.isFree(nets[place], m.period)) revert MarketErrors.PeriodClosed(m.period);

        uint256 total = _takeDebits(m.operator, m.period, debits);
        _requireCredits(m.operator, debits, credits, total);
        uint256 own = _members[m.operator][1].balance;
        if (own < total / DEPOSIT_PART) revert MarketErrors.DepositShort(own, total / DEPOSIT_PART);
        Net memory net = Net(m.root, m.debits, m.credits, uint40(block.timestamp));
        nets[place] = Places.opened(_hash(m.operator, m.period, net), m.period);

        emit MarketEvents.NetSettled(m.operator, m.period, m.root, total.toUint88(), debits, credits);
    }

    /// @inheritdoc INetSettlement
    function releaseNet(address operator, uint24 period, Net calldata net, bytes calldata credits) external {
        (, uint256 word) = _open(operator, period, net);
        if (keccak256(credits) != net.credits) revert MarketErrors.BadEntries();
        uint256 from = uint256(net.settledAt) + _disputeWindow;
        if (block.timestamp < from) revert MarketErrors.TooEarly(from);
        uint256 demands = Places.demandsIn(word);
        if (demands != 0) revert MarketErrors.DemandOpen(demands);

        _nets[operator][period % NET_PLACES] = Places.ended(period, false);
        _payOut(operator, credits);

        emit MarketEvents.NetReleased(operator, period);
    }

    /// @inheritdoc INetSettlement
    function voidNet(
        address operator,
        uint24 period,
        Net calldata net,
        bytes calldata debits,
        Line calldata line,
        bytes32[] calldata path
    ) external {
        _requireWindow(net);
        _open(operator, period, net);
        Lines.requireIn(line, path, net.root);
        if (_isSound(operator, period, line)) revert MarketErrors.LineSound();
        _void(operator, period, net, debits, _number(operator, line.request.account));
    }

    /* DEMANDS */

    /// @inheritdoc INetSettlement
    function demandLines(Demand calldata m, Net calldata net, bytes calldata debits, uint256 index, bytes calldata sig)
        external
    {
        _accept(m.account, MarketMessages.DEMAND, 4, m.deadline, sig);
        _requireWindow(net);
        (bytes32 key, uint256 word) = _open(m.operator, m.period, net);
        (uint32 member,) = _debtor(net, debits, index);
        if (member != _number(m.operator, m.account)) revert MarketErrors.NotDebtor(member);
        if (_demands[key][member] != 0) revert MarketErrors.NoDemand(member);

        uint40 until = uint40(block.timestamp + ANSWER_TIME);
        _demands[key][member] = until;
        _nets[m.operator][m.period % NET_PLACES] = Places.demanded(word);

        emit MarketEvents.LinesDemanded(m.operator, m.period, member, until);
    }

    /// @inheritdoc INetSettlement
    function showLines(
        address operator,
        uint24 period,
        Net calldata net,
        bytes calldata debits,
        uint256 index,
        Line[] calldata lines,
        bytes32[][] calldata paths
    ) external {
        (uint32 member, uint256 amount) = _answer(operator, period, net, debits, index);
        _requireSound(operator, period, member, lines);
        if (Lines.sum(lines, paths, net.root) < amount) revert MarketErrors.LinesShort(amount);

        emit MarketEvents.LinesShown(operator, period, member);
    }

    /// @inheritdoc INetSettlement
    function voidUnshown(address operator, uint24 period, Net calldata net, bytes calldata debits, uint256 index)
        external
    {
        (bytes32 key,) = _open(operator, period, net);
        (uint32 member,) = _debtor(net, debits, index);
        uint256 until = _requireDemand(key, member);
        if (block.timestamp <= until) revert MarketErrors.TooEarly(until + 1);
        _void(operator, period, net, debits, member);
    }

    /* VIEWS */

    /// @inheritdoc INetSettlement
    function anchors() external view returns (address) {
        return address(_anchors);
    }

    /// @inheritdoc INetSettlement
    function disputeWindow() external view returns (uint32) {
        return _disputeWindow;
    }

    /// @inheritdoc INetSettlement
    function netOf(address operator, uint24 period) external view returns (NetState state, uint256 demands) {
        uint256 word = _nets[operator][period % NET_PLACES];
        state = Places.stateIn(word, period);
        // One of four names.
        // slither-disable-next-line incorrect-equality
        if (state == NetState.Open) demands = Places.demandsIn(word);
    }

    /* INTERNAL */

    function _structHash(bytes calldata call) internal pure override returns (bytes32) {
        bytes4 selector = bytes4(call[:4]);
        if (selector == INetSettlement.setMandate.selector) return _hashWords(MarketMessages.NET_MANDATE, call, 6);
        if (selector == INetSettlement.settleNet.selector) return _hashWords(MarketMessages.NET_BATCH, call, 6);
        if (selector == INetSettlement.demandLines.selector) return _hashWords(MarketMessages.DEMAND, call, 4);
        if (selector == IVault.withdraw.selector) return _hashWords(MarketMessages.WITHDRAW, call, 5);
        bool deposits = selector == IVault.deposit.selector || selector == IVault.depositWithPermit.selector;
        return deposits ? _hashWords(MarketMessages.DEPOSIT, call, 5) : bytes32(0);
    }

    function _today() private view returns (uint24) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint24(block.timestamp / DAY);
    }

    /// @dev Unlike any other batch's, also where another operator settles the same.
    function _hash(address operator, uint24 period, Net memory net) private pure returns (bytes32) {
        return keccak256(abi.encode(operator, period, net));
    }

    /// @dev The batch's key and word, if it is neither released nor void and is the one described.
    function _open(address operator, uint24 period, Net calldata net) private view returns (bytes32 key, uint256 word) {
        key = _hash(operator, period, net);
        word = _nets[operator][period % NET_PLACES];
        if (!Places.isOpen(word, key, period)) revert MarketErrors.NetUnknown(operator, period);
    }

    /// @dev Marks a demand as answered, and says by whom and for how much the lines have to be.
    function _answer(address operator, uint24 period, Net calldata net, bytes calldata debits, uint256 index)
        private
        returns (uint32 member, uint256 amount)
    {
        (bytes32 key, uint256 word) = _open(operator, period, net);
        (member, amount) = _debtor(net, debits, index);
        _requireDemand(key, member);
        _demands[key][member] = SHOWN;
        _nets[operator][period % NET_PLACES] = Places.answered(word);
    }

    /// @dev Until when the lines behind a debit are to be shown, if they are.
    function _requireDemand(bytes32 key, uint32 member) private view returns (uint256 until) {
        until = _demands[key][member];
        if (until == 0 || until == SHOWN) revert MarketErrors.NoDemand(member);
    }

    function _requireSound(address operator, uint24 period, uint32 member, Line[] calldata lines) private view {
        address account = _members[operator][member].account;
        for (uint256 i = 0; i < lines.length; ++i) {
            bool sound = lines[i].request.account == account && _isSound(operator, period, lines[i]);
            if (!sound) revert MarketErrors.LineUnsound(i);
        }
    }

    function _requireWindow(Net calldata net) private view {
        uint256 until = uint256(net.settledAt) + _disputeWindow;
        if (block.timestamp >= until) revert MarketErrors.TooLate(until);
    }

    function _isSound(address operator, uint24 period, Line calldata line) private view returns (bool) {
        bytes32 digest = _hashTypedDataV4(MarketMessages.hashOrder(line.request, MarketMessages.REQUEST));
        return Lines.isSound(line, digest, operator, period, _anchors);
    }

    function _debtor(Net calldata net, bytes calldata debits, uint256 index)
        private
        pure
        returns (uint32 member, uint256 amount)
    {
        if (keccak256(debits) != net.debits) revert MarketErrors.BadEntries();
        return Nettings.at_(debits, index);
    }

    /// @dev Whole entries, so that none reaches beyond the list; more than 2^32 of them in order there cannot be, so
    /// that no sum wraps.
    function _takeDebits(address operator, uint24 period, bytes calldata debits) private returns (uint256 total) {
        mapping(uint256 => Member) storage members = _members[operator];
        Nettings.requireWhole(debits);
        if (debits.length == 0) revert MarketErrors.BadEntries();
        uint256 last = 0;
        unchecked {
            for (uint256 place = 0; place < debits.length; place += ENTRY) {
                uint256 entry = Nettings.next(debits, place);
                (uint256 number, uint256 amount) = (Nettings.memberIn(entry), Nettings.amountIn(entry));
                if (number <= last) revert MarketErrors.EntriesNotAscending(number);
                Member storage member = members[number];
                (uint256 word, bool covered) = Balances.debited(Balances.read(member), period, amount);
                if (!covered) revert MarketErrors.MandateShort(number);
                Balances.write(member, word);
                total += amount;
                last = number;
            }
        }
    }

    /// @dev The credits add up to the debits, are in order, name members, and nobody who is debited as well.
    function _requireCredits(address operator, bytes calldata debits, bytes calldata credits, uint256 total)
        private
        view
    {
        Nettings.requireWhole(credits);
        (uint256 sum, uint256 last, bool fine) = Nettings.sumBeside(credits, debits);
        if (!fine) revert MarketErrors.EntriesNotAscending(last);
        if (sum != total) revert MarketErrors.NotZeroSum(total, sum);
        if (_members[operator][last].account == address(0)) revert MarketErrors.NotMember(operator, address(0));
    }

    /// @dev Entries of a list that was checked when the batch was settled.
    function _payOut(address operator, bytes calldata entries) private {
        mapping(uint256 => Member) storage members = _members[operator];
        unchecked {
            for (uint256 place = 0; place < entries.length; place += ENTRY) {
                uint256 entry = Nettings.next(entries, place);
                uint256 amount = Nettings.amountIn(entry);
                Member storage member = members[Nettings.memberIn(entry)];
                (uint256 word, bool fits) = Balances.credited(Balances.read(member), amount);
                // Not before the token has more units than a balance can count.
                if (!fits) revert SafeCast.SafeCastOverflowedUintDowncast(88, amount);
                Balances.write(member, word);
            }
        }
    }

    /// @dev Gives all debits back and the operator's deposit, with what is on its way out, to a debtor.
    function _void(address operator, uint24 period, Net calldata net, bytes calldata debits, uint32 debtor) private {
        if (keccak256(debits) != net.debits) revert MarketErrors.BadEntries();
        _nets[operator][period % NET_PLACES] = Places.ended(period, true);
        _payOut(operator, debits);
        uint88 fine = _seize(_members[operator][1], type(uint88).max);
        Member storage member = _members[operator][debtor];
        member.balance += fine;
        emit MarketEvents.NetVoided(operator, period, member.account, fine);
    }
}
