// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./NetBase.sol";

/// @dev demandLines, showLines and voidUnshown: a debit without lines, or with lines nobody can see, does not stand.
contract DemandsTest is NetBase {
    function demandBy(uint256 key, uint256 index) internal {
        Demand memory m = Demand(vm.addr(key), operator, TODAY, soon());
        net.demandLines(m, settled, debits, index, sign(key, digest(m)));
    }

    /// @dev In the order that the contract wants: requests ascending.
    function show(uint256 count) internal {
        bool swap = keccak256(abi.encode(lines[0].request)) > keccak256(abi.encode(lines[1].request));
        Line[] memory shown = new Line[](count);
        bytes32[][] memory paths = new bytes32[][](count);
        for (uint256 i; i < count; ++i) {
            uint256 which = swap ? 1 - i : i;
            (shown[i], paths[i]) = (lines[which], path(which));
        }
        net.showLines(operator, TODAY, settled, debits, 0, shown, paths);
    }

    function showThem(uint256 count) external {
        show(count);
    }

    function test_anOpenDemandHoldsTheRelease() public {
        settleUsual();
        vm.warp(NOW + WINDOW - 1);
        demandBy(BUYER_KEY, 0);
        vm.warp(NOW + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.DemandOpen.selector, 1));
        net.releaseNet(operator, TODAY, settled, credits);
        show(2);
        check(net.demandsOf(operator, TODAY) == 0, "answered");
        net.releaseNet(operator, TODAY, settled, credits);
        expectSolvent(0);
    }

    function test_attack_aDebitWithoutLinesIsVoid() public {
        (bytes memory d, bytes memory c) = usual();
        settle(keccak256("no lines at all"), d, c);
        demandBy(BUYER_KEY, 0);
        vm.warp(NOW + 1 days);
        vm.expectRevert(tooEarly(NOW + 1 days + 1));
        net.voidUnshown(operator, TODAY, settled, debits, 0);
        vm.warp(NOW + 1 days + 1);
        net.voidUnshown(operator, TODAY, settled, debits, 0);
        check(balance(buyer) == 11_000 && balance(operator) == 0, "debits back, deposit to the debtor");
        expectSolvent(0);
    }

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

    function test_onlyADebtorAsksForItselfOnceAndInTime() public {
        settleUsual();
        uint32 number = net.numberOf(operator, buyer);
        Demand memory m = Demand(seller, operator, TODAY, soon());
        bytes memory sig = sign(SELLER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotDebtor.selector, number));
        net.demandLines(m, settled, debits, 0, sig);
        demandBy(BUYER_KEY, 0);
        m.account = buyer;
        sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NoDemand.selector, number));
        net.demandLines(m, settled, debits, 0, sig);
        show(2);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NoDemand.selector, number));
        net.demandLines(m, settled, debits, 0, sig);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NoDemand.selector, number));
        net.voidUnshown(operator, TODAY, settled, debits, 0);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NoDemand.selector, number));
        this.showThem(2);
    }

    function test_afterTheWindowNobodyAsks() public {
        settleUsual();
        vm.warp(NOW + WINDOW);
        Demand memory m = Demand(buyer, operator, TODAY, soon());
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(tooLate(NOW + WINDOW));
        net.demandLines(m, settled, debits, 0, sig);
    }
}
