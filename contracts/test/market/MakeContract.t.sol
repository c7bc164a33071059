// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract MakeContractTest is MarketBase {
    function tryBring(Match memory m, bytes memory expected) internal {
        bytes memory a = sign(OPERATOR_KEY, digest(m));
        bytes memory b = sign(SELLER_KEY, offerDigest(offer));
        bytes memory c = sign(BUYER_KEY, requestDigest(request));
        vm.expectRevert(expected);
        market.makeContract(m, offer, request, a, b, c);
    }

    /// @dev M-31.
    function test_M31_aMatchMakesAContract() public {
        Match memory m = aMatch();
        bytes32 id = bring(m);
        check(id == digest(m), "the id is the digest");
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Matched && t.wh == WH && t.price == PRICE && t.due == DUE, "contract");
        check(t.start == START && t.end == END, "times");
        check(t.buyer == market.numberOf(operator, buyer) && t.seller == market.numberOf(operator, seller), "partners");
        check(market.filledOf(m.offer) == WH && market.filledOf(m.request) == WH, "filled");
    }

    /// @dev A-23: a buyer without history reserves the amount; one with history need not.
    function test_A23_withoutHistoryTheAmountIsReserved() public {
        bytes32 id = matched();
        check(market.contractOf(operator, id).escrowed, "reserved");
        check(balance(buyer) == RICH - DUE, "out of the balance");
        expectSolvent(DUE);
    }

    function test_A23_withHistoryNothingIsReserved() public {
        history();
        uint88 before = balance(buyer);
        bytes32 id = matched();
        check(!market.contractOf(operator, id).escrowed && balance(buyer) == before, "free");
    }

    function test_A23_termsMayAskForEscrowAlways() public {
        history();
        Terms memory t = someTerms();
        t.escrow = true;
        terms = market.publishTerms(t);
        check(market.contractOf(operator, another()).escrowed, "reserved");
    }

    function test_A23_withoutMoneyThereIsNoContract() public {
        startOut(BUYER_KEY, RICH - DUE + 1);
        Match memory m = aMatch();
        tryBring(m, abi.encodeWithSelector(MarketErrors.BalanceShort.selector, buyer, DUE - 1, DUE));
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev A-1: prices between both limits, and the limits themselves.
    function testFuzz_A1_priceIsWithinBothLimits(uint88 low, uint88 high, uint88 price) public {
        (low, high, price) = (low % 1000, high % 1000, price % 1000);
        (offer.price, request.price) = (low, high);
        Match memory m = aMatch();
        m.price = price;
        if (price < low || price > high) {
            tryBring(m, abi.encodeWithSelector(MarketErrors.PriceOutsideLimits.selector, price));
        } else {
            bring(m);
        }
    }

    /// @dev Attack: the operator writes a price into the bodies that nobody signed.
    function test_attack_theOperatorCannotChangeAnOrder() public {
        bytes memory good = sign(SELLER_KEY, offerDigest(offer));
        offer.price = 1;
        Match memory m = aMatch();
        m.price = 1;
        bytes memory a = sign(OPERATOR_KEY, digest(m));
        bytes memory c = sign(BUYER_KEY, requestDigest(request));
        vm.expectRevert(wrongSigner(seller));
        market.makeContract(m, offer, request, a, good, c);
        // Nor give a body that the match does not name.
        bytes32 named = m.offer;
        offer.price = 0;
        bytes memory b = sign(SELLER_KEY, offerDigest(offer));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.WrongOrder.selector, named, offerDigest(offer)));
        market.makeContract(m, offer, request, a, b, c);
    }

    function test_attack_onlyTheNamedOperatorMatches() public {
        Match memory m = aMatch();
        bytes memory b = sign(SELLER_KEY, offerDigest(offer));
        bytes memory c = sign(BUYER_KEY, requestDigest(request));
        bytes memory forged = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(operator));
        market.makeContract(m, offer, request, forged, b, c);
        m.operator = stranger;
        bytes memory own = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.OrdersDiffer.selector));
        market.makeContract(m, offer, request, own, b, c);
    }

    function test_attack_bothSidesNameTheSameTerms() public {
        Terms memory t = someTerms();
        t.penaltyBps = 9_999;
        request.terms = market.publishTerms(t);
        Match memory m = aMatch();
        tryBring(m, abi.encodeWithSelector(MarketErrors.OrdersDiffer.selector));
    }

    /// @dev A-25.
    function test_A25_selfTradeIsRefused() public {
        request.account = seller;
        Match memory m = aMatch();
        bytes memory a = sign(OPERATOR_KEY, digest(m));
        bytes memory b = sign(SELLER_KEY, offerDigest(offer));
        bytes memory c = sign(SELLER_KEY, requestDigest(request));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.SelfTrade.selector, seller));
        market.makeContract(m, offer, request, a, b, c);
    }

    function test_aPartnerMayBeNamed() public {
        offer.partner = stranger;
        tryBring(aMatch(), abi.encodeWithSelector(MarketErrors.WrongPartner.selector, buyer));
        (offer.partner, request.partner) = (buyer, stranger);
        tryBring(aMatch(), abi.encodeWithSelector(MarketErrors.WrongPartner.selector, seller));
        request.partner = seller;
        bring(aMatch());
    }

    function test_theTimeIsWithinBothOrders() public {
        offer.start = START + 10;
        request.end = END - 10;
        Match memory m = aMatch();
        m.start = START + 9;
        m.end = END - 10;
        bytes memory bad = abi.encodeWithSelector(MarketErrors.TimeOutsideLimits.selector);
        tryBring(m, bad);
        (m.start, m.end) = (START + 10, END - 9);
        bad = abi.encodeWithSelector(MarketErrors.TimeOutsideLimits.selector);
        tryBring(m, bad);
        (m.start, m.end) = (START + 20, START + 20);
        bad = abi.encodeWithSelector(MarketErrors.TimeOutsideLimits.selector);
        tryBring(m, bad);
        (m.start, m.end) = (START + 10, END - 10);
        vm.warp(m.end);
        bad = abi.encodeWithSelector(MarketErrors.TimeOutsideLimits.selector);
        tryBring(m, bad);
        vm.warp(m.end - 1);
        bring(m);
    }

    function test_deadlinesOfAllThree() public {
        Match memory m = aMatch();
        m.deadline = NOW - 1;
        tryBring(m, abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, NOW - 1));
        offer.deadline = NOW - 2;
        tryBring(aMatch(), abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, NOW - 2));
        offer.deadline = NOW;
        request.deadline = NOW - 3;
        tryBring(aMatch(), abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, NOW - 3));
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev A-16: the sum of the fills is at most the offer.
    function testFuzz_A16_overFillIsImpossible(uint64 first, uint64 second) public {
        first = uint64(bound(first, 1, WH));
        second = uint64(bound(second, 0, 2 * WH));
        Match memory m = aMatch();
        m.wh = first;
        bring(m);
        m = aMatch();
        m.wh = second;
        if (second == 0 || second > WH - first) {
            tryBring(m, abi.encodeWithSelector(MarketErrors.OverFilled.selector, m.offer, WH - first));
        } else {
            bring(m);
            check(market.filledOf(m.offer) == first + second, "filled");
        }
    }

    /// @dev Attack: a whole request against several offers.
    function test_attack_aRequestIsFilledOnce() public {
        bring(aMatch());
        offer = anOrder(seller);
        Match memory m = aMatch();
        tryBring(m, abi.encodeWithSelector(MarketErrors.OverFilled.selector, m.request, 0));
    }

    function test_attack_theSameMatchCountsOnce() public {
        Match memory m = aMatch();
        m.wh = 1;
        bytes32 id = bring(m);
        tryBring(m, wrongState(id, State.Matched));
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev Whatever the parts, they add up to floor(sum of wh x price / 1000).
    function testFuzz_partsAddUpToTheWhole(uint16[6] calldata parts, uint16[6] calldata prices) public {
        (offer.wh, request.wh) = (type(uint64).max, type(uint64).max);
        (offer.price, request.price) = (0, type(uint88).max);
        uint256 total;
        uint256 paid;
        for (uint256 i; i < 6; ++i) {
            Match memory m = aMatch();
            m.wh = uint64(parts[i]) + 1;
            m.price = uint88(prices[i]) % 5_000;
            total += uint256(m.wh) * m.price;
            paid += market.contractOf(operator, bring(m)).due;
        }
        check(paid == total / 1000, "parts");
    }

    function test_anExcludedDebtorIsNotMatched() public {
        bytes32 id = claimed();
        check(stateOf(id) == State.Claimed, "claimed");
        vm.warp(NOW);
        (offer, request) = (anOrder(seller), anOrder(buyer));
        tryBring(aMatch(), abi.encodeWithSelector(MarketErrors.Excluded.selector, buyer));
        // Not as a seller either.
        (offer, request) = (anOrder(buyer), anOrder(seller));
        Match memory m = aMatch();
        bytes memory a = sign(OPERATOR_KEY, digest(m));
        bytes memory b = sign(BUYER_KEY, offerDigest(offer));
        bytes memory c = sign(SELLER_KEY, requestDigest(request));
        put(SELLER_KEY, DUE);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.Excluded.selector, buyer));
        market.makeContract(m, offer, request, a, b, c);
        // Cured, it is welcome again.
        cureBy(BUYER_KEY, id);
        (offer, request) = (anOrder(seller), anOrder(buyer));
        bring(aMatch());
    }

    /* WHO SIGNS ORDERS */

    function delegateTo(uint256 key, uint32 scope, uint40 until) internal {
        Delegate memory m = Delegate(seller, vm.addr(key), scope, until, freshNonce(), NOW + 1 days);
        vm.prank(seller);
        anchors.delegate(m, "");
    }

    function bringSignedBy(uint256 key) internal returns (bytes32) {
        Match memory m = aMatch();
        bytes memory a = sign(OPERATOR_KEY, digest(m));
        bytes memory b = sign(key, offerDigest(offer));
        bytes memory c = sign(BUYER_KEY, requestDigest(request));
        return market.makeContract(m, offer, request, a, b, c);
    }

    function bringAs(uint256 key) external {
        bringSignedBy(key);
    }

    function test_aDelegateSignsOrders() public {
        delegateTo(DELEGATE_KEY, 1, NOW + 1 days);
        check(stateOf(bringSignedBy(DELEGATE_KEY)) == State.Matched, "matched");
    }

    function test_aDelegateOfAnotherScopeOrTimeDoesNot() public {
        delegateTo(DELEGATE_KEY, 2, NOW + 1 days);
        vm.expectRevert(wrongSigner(seller));
        this.bringAs(DELEGATE_KEY);
        delegateTo(DELEGATE_KEY, 1, NOW + 10);
        vm.warp(NOW + 11);
        vm.expectRevert(wrongSigner(seller));
        this.bringAs(DELEGATE_KEY);
        vm.expectRevert(wrongSigner(seller));
        this.bringAs(STRANGER_KEY);
    }

    function test_theEventTellsTheContract() public {
        Match memory m = aMatch();
        bytes memory a = sign(OPERATOR_KEY, digest(m));
        bytes memory b = sign(SELLER_KEY, offerDigest(offer));
        bytes memory c = sign(BUYER_KEY, requestDigest(request));
        vm.expectEmit(address(market));
        emit MarketEvents.Matched(digest(m), seller, buyer, m.offer, m.request, WH, PRICE, DUE, true);
        market.makeContract(m, offer, request, a, b, c);
    }
}
