// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract MeasureClaimTest is MarketBase {
    function disputedUnanswered() internal returns (bytes32 id) {
        id = reported();
        pass(1 hours);
        market.stand(operator, id);
        reminded(id);
        claimBy(SELLER_KEY, id);
        disputeBy(BUYER_KEY, id);
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev 5b: else by signed meter readings, pay min(measured, contracted) x price.
    function testFuzz_theMeterDecidesWhereOnlyTheSellerSpoke(uint64 counted) public {
        counted = uint64(bound(counted, 0, 2 * WH));
        bytes32 id = disputedUnanswered();
        market.measureClaim(made, offer, evidence(0, counted));
        uint256 amount = uint256(counted < WH ? counted : WH) * PRICE / 1000;
        check(market.contractOf(operator, id).due == amount + amount / 10, "owed");
    }

    /// @dev Attack: a buyer who agreed shows a meter that counted less.
    function test_attack_notWhereTheBuyerAgreed() public {
        disputed();
        Evidence memory e = evidence(0, 0);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.AgreedAlready.selector));
        market.measureClaim(made, offer, e);
    }

    function test_withinTheWindowOnly() public {
        disputedUnanswered();
        uint256 until = block.timestamp + 7 days;
        vm.warp(until);
        Evidence memory e = evidence(0, 0);
        vm.expectRevert(tooLate(until));
        market.measureClaim(made, offer, e);
    }
}
