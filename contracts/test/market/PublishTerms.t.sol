// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract PublishTermsTest is MarketBase {
    function test_termsAreKeptUnderTheirHash() public {
        Terms memory t = someTerms();
        t.penaltyBps = 1;
        bytes32 id = market.publishTerms(t);
        check(id == keccak256(abi.encode(t)), "id");
        check(keccak256(abi.encode(market.termsOf(id))) == id, "all fields");
        check(market.termsOf(keccak256("none")).operator == address(0), "none");
    }

    function test_termsArePublishedOnce() public {
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.TermsExist.selector));
        market.publishTerms(someTerms());
    }

    /// @dev market-and-settlement.md 5b: the wait for money is longer than claim and dispute.
    function test_termsEndBeforeMoneyCanLeave() public {
        Terms memory t = someTerms();
        t.penaltyBps = 7;
        t.rulingWindow = WAIT - t.paymentDue - 3 * t.reminderEvery - t.disputeWindow;
        market.publishTerms(t);
        ++t.rulingWindow;
        vm.expectRevert(MarketErrors.BadTerms.selector);
        market.publishTerms(t);
    }

    function test_termsTakeNoMoreThanEverything() public {
        Terms memory t = someTerms();
        t.penaltyBps = 10_001;
        vm.expectRevert(MarketErrors.BadTerms.selector);
        market.publishTerms(t);
        t = someTerms();
        t.cancelBps = 10_001;
        vm.expectRevert(MarketErrors.BadTerms.selector);
        market.publishTerms(t);
        t = someTerms();
        t.operator = address(0);
        vm.expectRevert(MarketErrors.BadTerms.selector);
        market.publishTerms(t);
    }

    /// @dev Terms that anybody publishes in an operator's name bind nobody who does not sign an order under them, and
    /// the operator makes no contract under terms of another.
    function test_anOperatorUsesItsOwnTermsOnly() public {
        Terms memory t = someTerms();
        t.operator = stranger;
        terms = market.publishTerms(t);
        (offer, request) = (anOrder(seller), anOrder(buyer));
        Match memory m = aMatch();
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.TermsUnknown.selector, terms));
        this.bringIt(m);
        terms = keccak256("unknown");
        (offer, request) = (anOrder(seller), anOrder(buyer));
        m = aMatch();
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.TermsUnknown.selector, terms));
        this.bringIt(m);
    }

    function bringIt(Match calldata m) external {
        bring(m);
    }
}
