// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./NetBase.sol";

contract SetMandateTest is NetBase {
    function test_itIsRecorded() public view {
        Member memory m = net.memberOf(operator, buyer);
        check(m.maxDebit == 1_000 && m.serial == 1 && m.lastPeriod == TODAY - 1, "recorded");
        check(m.untilPeriod == (NOW + 365 days) / 1 days, "until");
    }

    /// @dev Attack: a mandate that was withheld comes back after it was revoked.
    function test_attack_anOlderOneDoesNotComeBack() public {
        mandate(BUYER_KEY, 0, 3);
        NetMandate memory m = NetMandate(buyer, operator, 5_000, NOW + 1 days, 2, soon());
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.Outdated.selector, 2, 3));
        net.setMandate(m, sig);
    }

    function test_revokedItTakesNothing() public {
        mandate(BUYER_KEY, 0, 2);
        (bytes memory d, bytes memory c) = usual();
        uint32 number = net.numberOf(operator, buyer);
        trySettle(d, c, abi.encodeWithSelector(MarketErrors.MandateShort.selector, number));
    }

    function test_attack_forgedOrLate() public {
        NetMandate memory m = NetMandate(buyer, operator, 5_000, NOW + 1 days, 2, soon());
        bytes memory forged = sign(OPERATOR_KEY, digest(m));
        vm.expectRevert(wrongSigner(buyer));
        net.setMandate(m, forged);
        m.deadline = NOW - 1;
        bytes memory late = sign(BUYER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, NOW - 1));
        net.setMandate(m, late);
    }

    /// @dev Attack: days from before the mandate, one after the other.
    function test_attack_thePastCannotBeCharged() public {
        (bytes memory d, bytes memory c) = usual();
        NetBatch memory m = aBatch(bytes32(0), d, c);
        m.period = TODAY - 1;
        bytes memory sig = sign(OPERATOR_KEY, digest(m));
        uint32 number = net.numberOf(operator, buyer);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.MandateShort.selector, number));
        net.settleNet(m, d, c, sig);
    }

    function test_itEndsWithItsLastDay() public {
        NetMandate memory m = NetMandate(buyer, operator, 1_000, NOW, 2, soon());
        net.setMandate(m, sign(BUYER_KEY, digest(m)));
        vm.warp(NOW + 1 days);
        (bytes memory d, bytes memory c) = usual();
        uint32 number = net.numberOf(operator, buyer);
        trySettle(d, c, abi.encodeWithSelector(MarketErrors.MandateShort.selector, number));
    }
}
