// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract ReportTest is MarketBase {
    /// @dev M-32, A-10.
    function test_M32_eitherPartnerReports() public {
        bytes32 id = matched();
        vm.warp(START);
        reportBy(BUYER_KEY, id, 1_500);
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Reported && t.firstWh == 1_500 && !t.firstBySeller, "by the buyer");
        id = reported2();
        check(market.contractOf(operator, id).firstBySeller, "by the seller");
    }

    function reported2() internal returns (bytes32 id) {
        vm.warp(NOW);
        id = another();
        vm.warp(END);
        reportBy(SELLER_KEY, id, WH);
    }

    function test_notBeforeTheStart() public {
        bytes32 id = matched();
        vm.warp(START - 1);
        Provision memory m = provision(seller, id, WH);
        bytes memory sig = sign(SELLER_KEY, digest(m));
        vm.expectRevert(tooEarly(START));
        market.report(m, sig);
    }

    function test_attack_aStrangerCannot() public {
        bytes32 id = matched();
        vm.warp(END);
        Provision memory m = provision(stranger, id, WH);
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, stranger));
        market.report(m, sig);
        m.account = buyer;
        vm.expectRevert(wrongSigner(buyer));
        market.report(m, sig);
    }

    /// @dev pay = min(delivered, contracted) x price.
    function test_moreThanContractedCountsAsContracted() public {
        bytes32 id = matched();
        vm.warp(END);
        reportBy(SELLER_KEY, id, WH * 10);
        check(market.contractOf(operator, id).firstWh == WH, "capped");
        answerBy(BUYER_KEY, id, WH + 1);
        check(market.contractOf(operator, id).due == DUE, "due");
    }

    function test_theCallerNeedsNoSignature() public {
        bytes32 id = matched();
        vm.warp(END);
        Provision memory m = provision(seller, id, WH);
        vm.prank(seller);
        market.report(m, "");
        expectState(id, State.Reported);
    }
}
