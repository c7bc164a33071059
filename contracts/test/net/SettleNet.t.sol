// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./NetBase.sol";

contract SettleNetTest is NetBase {
    function short_(address account) internal view returns (bytes memory) {
        return abi.encodeWithSelector(MarketErrors.MandateShort.selector, net.numberOf(operator, account));
    }

    function test_debitsAreTakenAndCreditsWait() public {
        settleUsual();
        check(balance(buyer) == 9_400 && balance(seller) == 10_000 && balance(third) == 10_000, "taken");
        expectState(TODAY, NetState.Open, 0);
        expectState(TODAY - 1, NetState.None, 0);
        expectSolvent(600);
    }

    function test_attack_sumIsZero() public {
        bytes memory d = entry(buyer, 600);
        trySettle(d, entry(seller, 601), abi.encodeWithSelector(MarketErrors.NotZeroSum.selector, 600, 601));
        trySettle(d, entry(seller, 599), abi.encodeWithSelector(MarketErrors.NotZeroSum.selector, 600, 599));
        trySettle(d, "", abi.encodeWithSelector(MarketErrors.NotZeroSum.selector, 600, 0));
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev Never more than the mandate, never more than there is.
    function testFuzz_attack_noMoreThanTheMandate(uint88 amount, uint88 most) public {
        (amount, most) = (uint88(bound(amount, 1, 12_000)), most % 12_000);
        mandate(BUYER_KEY, most, 2);
        put(OPERATOR_KEY, 10_000);
        (bytes memory d, bytes memory c) = (entry(buyer, amount), entry(seller, amount));
        if (amount > most || amount > 10_000) {
            trySettle(d, c, short_(buyer));
        } else {
            settle("", d, c);
            check(balance(buyer) == 10_000 - amount, "taken");
        }
    }

    function test_attack_withoutMandate() public {
        trySettle(entry(seller, 600), entry(buyer, 600), short_(seller));
    }

    /// @dev Each (operator, party, period) once.
    function test_attack_onceAPeriod() public {
        settleUsual();
        (bytes memory d, bytes memory c) = usual();
        trySettle(d, c, abi.encodeWithSelector(MarketErrors.PeriodClosed.selector, TODAY));
        bytes memory twice = bytes.concat(d, d);
        uint32 number = net.numberOf(operator, buyer);
        vm.warp(NOW + 1 days);
        trySettle(twice, c, abi.encodeWithSelector(MarketErrors.EntriesNotAscending.selector, number));
        // A member on both sides at once.
        bytes memory bad = abi.encodeWithSelector(MarketErrors.EntriesNotAscending.selector, number);
        trySettle(d, bytes.concat(entry(buyer, 200), entry(seller, 400)), bad);
        number = net.numberOf(operator, seller);
        bad = abi.encodeWithSelector(MarketErrors.EntriesNotAscending.selector, number);
        trySettle(d, bytes.concat(entry(seller, 200), entry(seller, 400)), bad);
    }

    function test_attack_nobodyIsNotAMember() public {
        bytes memory nobody = abi.encodePacked(uint32(0), uint96(600));
        bytes memory d = entry(buyer, 600);
        trySettle(d, nobody, abi.encodeWithSelector(MarketErrors.EntriesNotAscending.selector, 0));
        trySettle(nobody, d, abi.encodeWithSelector(MarketErrors.EntriesNotAscending.selector, 0));
        bytes memory unknown = abi.encodePacked(uint32(99), uint96(600));
        trySettle(d, unknown, abi.encodeWithSelector(MarketErrors.NotMember.selector, operator, address(0)));
        trySettle(unknown, d, abi.encodeWithSelector(MarketErrors.MandateShort.selector, 99));
    }

    function test_attack_halfEntries() public {
        bytes memory bad = abi.encodeWithSelector(MarketErrors.BadEntries.selector);
        trySettle("", "", bad);
        trySettle(hex"00", "", bad);
        trySettle(entry(buyer, 600), hex"01", bad);
        (bytes memory d, bytes memory c) = usual();
        NetBatch memory m = aBatch(bytes32(0), d, c);
        bytes memory sig = sign(OPERATOR_KEY, digest(m));
        bytes memory other = entry(buyer, 601);
        vm.expectRevert(bad);
        net.settleNet(m, other, c, sig);
        vm.expectRevert(bad);
        net.settleNet(m, d, other, sig);
    }

    function test_attack_notTheFuture() public {
        (bytes memory d, bytes memory c) = usual();
        NetBatch memory m = aBatch(bytes32(0), d, c);
        m.period = TODAY + 1;
        bytes memory sig = sign(OPERATOR_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.PeriodClosed.selector, TODAY + 1));
        net.settleNet(m, d, c, sig);
    }

    /// @dev A record is written over by the batch of 32 days later, and not before its own has ended.
    function test_attack_anOpenBatchIsNotWrittenOver() public {
        settleUsual();
        (bytes memory d, bytes memory c) = usual();
        vm.warp(NOW + 32 days);
        trySettle(d, c, abi.encodeWithSelector(MarketErrors.PeriodClosed.selector, TODAY + 32));
        vm.warp(NOW + 31 days);
        settle(bytes32(uint256(1)), d, c);
        expectState(TODAY, NetState.Open, 0);
        expectState(TODAY + 31, NetState.Open, 0);
    }

    function test_anEndedBatchGivesWay() public {
        settleUsual();
        vm.warp(NOW + WINDOW);
        net.releaseNet(operator, TODAY, settled, credits);
        (bytes memory d, bytes memory c) = usual();
        vm.warp(NOW + 32 days);
        expectState(TODAY, NetState.Released, 0);
        expectState(TODAY + 32, NetState.None, 0);
        settle(bytes32(uint256(1)), d, c);
        expectState(TODAY, NetState.None, 0);
        expectState(TODAY + 32, NetState.Open, 0);
        vm.warp(NOW + 32 days + WINDOW);
        net.releaseNet(operator, TODAY + 32, settled, credits);
        check(balance(buyer) == 8_800 && balance(seller) == 10_800, "both paid");
        expectSolvent(0);
    }

    /// @dev Attack: the record of a later day forgets an earlier one, which must not be settled a second time.
    function test_attack_aForgottenDayStaysClosed() public {
        test_anEndedBatchGivesWay();
        (bytes memory d, bytes memory c) = usual();
        for (uint24 period = TODAY; period <= TODAY + 32; period += 32) {
            NetBatch memory m = aBatch(bytes32(0), d, c);
            m.period = period;
            bytes memory sig = sign(OPERATOR_KEY, digest(m));
            vm.expectRevert(abi.encodeWithSelector(MarketErrors.PeriodClosed.selector, period));
            net.settleNet(m, d, c, sig);
        }
    }

    /// @dev Amounts that no balance can hold, whose sum would come out right if it were cut.
    function test_attack_amountsBeyondABalance() public {
        bytes memory much = abi.encodePacked(net.numberOf(operator, buyer), uint96(1 << 88 | 600));
        trySettle(much, entry(seller, 600), short_(buyer));
        much = abi.encodePacked(net.numberOf(operator, seller), uint96(1 << 88 | 600));
        bytes memory bad = abi.encodeWithSelector(MarketErrors.NotZeroSum.selector, 600, 1 << 88 | 600);
        trySettle(entry(buyer, 600), much, bad);
    }

    function test_attack_onlyTheOperator() public {
        (bytes memory d, bytes memory c) = usual();
        NetBatch memory m = aBatch(bytes32(0), d, c);
        bytes memory forged = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(operator));
        net.settleNet(m, d, c, forged);
    }

    function test_theOperatorsDepositCoversATenth() public {
        startOut(OPERATOR_KEY, 941);
        (bytes memory d, bytes memory c) = usual();
        trySettle(d, c, abi.encodeWithSelector(MarketErrors.DepositShort.selector, 59, 60));
        put(OPERATOR_KEY, 1);
        settle("", d, c);
    }
}
