// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./DemandsBase.sol";

contract ShowLinesTest is DemandsBase {
    function test_attack_tooFewLines() public {
        settleUsual();
        demandBy(BUYER_KEY, 0);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.LinesShort.selector, 600));
        this.showThem(1);
    }

    function test_attack_oneLineTwice() public {
        settleUsual();
        demandBy(BUYER_KEY, 0);
        Line[] memory shown = new Line[](2);
        bytes32[][] memory paths = new bytes32[][](2);
        (shown[0], shown[1], paths[0], paths[1]) = (lines[0], lines[0], path(0), path(0));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.EntriesNotAscending.selector, 1));
        net.showLines(operator, TODAY, settled, debits, 0, shown, paths);
        vm.expectRevert(MarketErrors.LineNotInRoot.selector);
        net.showLines(operator, TODAY, settled, debits, 0, shown, new bytes32[][](1));
    }

    /// @dev Attack: one request in two lines, each for all of it.
    function test_attack_aRequestForMoreThanItAsked() public {
        lines.push(aLine(2_000, 400, seller));
        lines.push(lines[0]);
        (lines[1].wh, lines[1].amount, lines[1].seller) = (1_000, 200, third);
        (bytes memory d, bytes memory c) = usual();
        settle(rootOf(), d, c);
        demandBy(BUYER_KEY, 0);
        uint256 first = leaf(0) < leaf(1) ? 0 : 1;
        Line[] memory shown = new Line[](2);
        bytes32[][] memory paths = new bytes32[][](2);
        (shown[0], paths[0]) = (lines[first], path(first));
        (shown[1], paths[1]) = (lines[1 - first], path(1 - first));
        bytes32 request = keccak256(abi.encode(lines[0].request));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.OverFilled.selector, request, 0));
        net.showLines(operator, TODAY, settled, debits, 0, shown, paths);
    }

    function test_attack_linesOfSomebodyElseOrUnsigned() public {
        settleUsual();
        demandBy(BUYER_KEY, 0);
        (lines[0].request.account, lines[1].request.account) = (third, third);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.LineUnsound.selector, 0));
        this.showThem(1);
        (lines[0].request.account, lines[1].request.account) = (buyer, buyer);
        lines[0].signature = "";
        lines[1].signature = "";
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.LineUnsound.selector, 0));
        this.showThem(2);
    }

    /// @dev One request in two lines that together ask no more than it does.
    function test_aRequestInParts() public {
        lines.push(aLine(3_000, 400, seller));
        lines[0].wh = 2_000;
        lines.push(lines[0]);
        (lines[1].wh, lines[1].amount, lines[1].seller) = (1_000, 200, third);
        (bytes memory d, bytes memory c) = usual();
        settle(rootOf(), d, c);
        demandBy(BUYER_KEY, 0);
        uint256 first = leaf(0) < leaf(1) ? 0 : 1;
        Line[] memory shown = new Line[](2);
        bytes32[][] memory paths = new bytes32[][](2);
        (shown[0], paths[0]) = (lines[first], path(first));
        (shown[1], paths[1]) = (lines[1 - first], path(1 - first));
        net.showLines(operator, TODAY, settled, debits, 0, shown, paths);
        expectState(TODAY, NetState.Open, 0);
    }

    /// @dev Attack: requests out of order, behind which one of them could stand twice.
    function test_attack_requestsOutOfOrder() public {
        settleUsual();
        demandBy(BUYER_KEY, 0);
        bool swap = keccak256(abi.encode(lines[0].request)) > keccak256(abi.encode(lines[1].request));
        Line[] memory shown = new Line[](2);
        bytes32[][] memory paths = new bytes32[][](2);
        (uint256 high, uint256 low) = swap ? (0, 1) : (1, 0);
        (shown[0], shown[1], paths[0], paths[1]) = (lines[high], lines[low], path(high), path(low));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.EntriesNotAscending.selector, 1));
        net.showLines(operator, TODAY, settled, debits, 0, shown, paths);
    }
}
