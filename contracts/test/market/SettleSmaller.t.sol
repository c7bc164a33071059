// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract SettleSmallerTest is MarketBase {
    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    function testFuzz_theSmallerCountsAfterTheWindow(uint64 a, uint64 b) public {
        (a, b) = (uint64(bound(a, 4, WH)), uint64(bound(b, 4, WH)));
        if (a == b) return;
        bytes32 id = matched();
        vm.warp(END);
        reportBy(SELLER_KEY, id, a);
        answerBy(BUYER_KEY, id, b);
        vm.warp(END + 3 days - 1);
        vm.expectRevert(tooEarly(END + 3 days));
        market.settleSmaller(operator, id);
        vm.warp(END + 3 days);
        market.settleSmaller(operator, id);
        Trade memory t = market.contractOf(operator, id);
        uint64 smaller = a < b ? a : b;
        check(t.firstWh == smaller && t.due == uint256(smaller) * PRICE / 1000, "smaller");
        expectSolvent(t.due);
    }
}
