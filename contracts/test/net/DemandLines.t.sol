// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./DemandsBase.sol";

contract DemandLinesTest is DemandsBase {
    function test_anOpenDemandHoldsTheRelease() public {
        settleUsual();
        vm.warp(NOW + WINDOW - 1);
        demandBy(BUYER_KEY, 0);
        expectState(TODAY, NetState.Open, 1);
        vm.warp(NOW + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.DemandOpen.selector, 1));
        net.releaseNet(operator, TODAY, settled, credits);
        show(2);
        expectState(TODAY, NetState.Open, 0);
        net.releaseNet(operator, TODAY, settled, credits);
        expectSolvent(0);
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

    function test_attack_aDebitThatIsNotThere() public {
        settleUsual();
        Demand memory m = Demand(buyer, operator, TODAY, soon());
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(MarketErrors.BadEntries.selector);
        net.demandLines(m, settled, debits, 1, sig);
        vm.expectRevert(MarketErrors.BadEntries.selector);
        net.demandLines(m, settled, credits, 0, sig);
    }
}
