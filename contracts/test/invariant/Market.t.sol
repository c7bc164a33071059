// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../market/MarketBase.sol";
import { MarketHandler } from "./MarketHandler.sol";

/// @dev contracts.md, Proof: money paid = money received; escrow never short; an excluded debtor is never matched, no
/// order over-filled, no contract paid twice or by another.
contract MarketInvariants is MarketBase {
    MarketHandler private handler;

    function setUp() public override {
        actors();
        token = newToken();
        market = IMarket(create("Market.sol:Market", abi.encode(token, WAIT, anchors)));
        market.publishTerms(someTerms());
        handler = new MarketHandler(market, token, anchors);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory actions = new bytes4[](12);
        actions[0] = MarketHandler.trade.selector;
        actions[1] = MarketHandler.report.selector;
        actions[2] = MarketHandler.deliverAll.selector;
        actions[3] = MarketHandler.settleReports.selector;
        actions[4] = MarketHandler.pay.selector;
        actions[5] = MarketHandler.chase.selector;
        actions[6] = MarketHandler.answerClaim.selector;
        actions[7] = MarketHandler.cancel.selector;
        actions[8] = MarketHandler.moveMoney.selector;
        actions[9] = MarketHandler.time.selector;
        // The common way, more often.
        actions[10] = MarketHandler.trade.selector;
        actions[11] = MarketHandler.chase.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), actions);
    }

    /// forge-config: default.invariant.runs = 8
    /// forge-config: long.invariant.runs = 128
    /// @dev One campaign for all: what they say is about the same steps.
    function invariant_market() public view {
        check(handler.wrongly() == 0, "a step worked that must not");
        check(handler.paidOut() == handler.received(), "money paid = money received");
        escrowIsNeverShort();
        openClaimsAreThoseOfContracts();
    }

    /// @dev To the unit: books, money on its way out, reserves and what claims hold are what the market has.
    function escrowIsNeverShort() private view {
        uint256 owed;
        for (uint256 i; i < 3; ++i) {
            Member memory m = market.memberOf(operatorOf(), handler.person(i));
            owed += uint256(m.balance) + m.pending;
        }
        for (uint256 i; i < handler.count(); ++i) {
            Trade memory t = market.contractOf(operatorOf(), handler.ids(i));
            check(handler.timesPaid(handler.ids(i)) <= 1, "paid once");
            bool before = t.state == State.Matched || t.state == State.Reported || t.state == State.Contested
                || t.state == State.Delivered;
            if (t.escrowed && before) owed += t.due;
            if (t.state == State.Claimed || t.state == State.Disputed) owed += t.held;
        }
        check(token.balanceOf(address(market)) == owed, "escrow");
    }

    function openClaimsAreThoseOfContracts() private view {
        for (uint256 i; i < 3; ++i) {
            uint256 open;
            for (uint256 c; c < handler.count(); ++c) {
                bytes32 id = handler.ids(c);
                State state = market.contractOf(operatorOf(), id).state;
                if (handler.buyerOf(id) == i && (state == State.Claimed || state == State.Disputed)) ++open;
            }
            check(market.memberOf(operatorOf(), handler.person(i)).openClaims == open, "open claims");
        }
    }

    function operatorOf() private pure returns (address) {
        return vm.addr(OPERATOR_KEY);
    }
}
