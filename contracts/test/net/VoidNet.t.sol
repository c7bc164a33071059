// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./NetBase.sol";

contract VoidNetTest is NetBase {
    function settleLines() internal {
        (bytes memory d, bytes memory c) = usual();
        settle(rootOf(), d, c);
    }

    function twoLines() internal {
        lines.push(aLine(2_000, 400, seller));
        lines.push(aLine(1_000, 200, third));
    }

    function voidBy(uint256 i) internal {
        net.voidNet(operator, TODAY, settled, debits, lines[i], path(i));
    }

    function expectVoid() internal {
        uint256 state = vm.snapshotState();
        settleLines();
        voidBy(1);
        check(balance(buyer) == 11_000 && balance(operator) == 0, "debits back, deposit to the debtor");
        expectState(TODAY, NetState.Void, 0);
        expectSolvent(0);
        vm.revertToState(state);
    }

    function expectSound(uint256 i) internal {
        vm.expectRevert(MarketErrors.LineSound.selector);
        net.voidNet(operator, TODAY, settled, debits, lines[i], path(i));
    }

    function test_soundLinesVoidNothing() public {
        twoLines();
        settleLines();
        expectSound(0);
        expectSound(1);
    }

    /// @dev Attack: the operator nets what the debtor did not sign.
    function test_attack_aLineWithoutTheDebtorsSignature() public {
        twoLines();
        lines[1].signature = sign(OPERATOR_KEY, digest(lines[1].request));
        expectVoid();
        lines[1].signature = "";
        expectVoid();
        lines[1].signature = new bytes(65);
        expectVoid();
    }

    /// @dev Attack: the operator lies about price, amount, day, partner.
    function test_attack_aLineOutsideWhatWasSigned() public {
        twoLines();
        lines[1].price = 201;
        expectVoid();
        lines[1].price = 200;
        lines[1].wh = 1_001;
        expectVoid();
        lines[1].wh = 1_000;
        lines[1].amount = 201;
        expectVoid();
        (lines[1].amount, lines[1].seller) = (200, buyer);
        expectVoid();
        lines[1].seller = third;
        lines[1].request.partner = seller;
        lines[1].signature = sign(BUYER_KEY, digest(lines[1].request));
        expectVoid();
        lines[1].request.partner = third;
        lines[1].request.start = NOW + 1 days;
        lines[1].signature = sign(BUYER_KEY, digest(lines[1].request));
        expectVoid();
        lines[1].request.start = NOW;
        lines[1].request.operator = stranger;
        lines[1].signature = sign(BUYER_KEY, digest(lines[1].request));
        expectVoid();
        lines[1].request.operator = operator;
        lines[1].signature = sign(BUYER_KEY, digest(lines[1].request));
        settleLines();
        expectSound(1);
    }

    /// @dev A part of a whole may be rounded up by one.
    function test_theRoundingOfParts() public {
        twoLines();
        (lines[1].wh, lines[1].amount) = (999, 200);
        lines[0].amount = 400;
        settleLines();
        expectSound(1);
    }

    function test_aDelegateSignsForTheDebtor() public {
        twoLines();
        Delegate memory m = Delegate(buyer, vm.addr(DELEGATE_KEY), 1, NOW + 10, freshNonce(), soon());
        vm.prank(buyer);
        anchors.delegate(m, "");
        lines[1].signature = sign(DELEGATE_KEY, digest(lines[1].request));
        settleLines();
        expectSound(1);
        // Its end afterwards changes nothing: the key counts as at the start of delivery.
        pass(2 days);
        expectSound(1);
    }

    function test_attack_aLineThatIsNotInTheRoot() public {
        twoLines();
        settleLines();
        Line memory other = aLine(5, 1, seller);
        other.signature = "";
        bytes32[] memory to = path(0);
        vm.expectRevert(MarketErrors.LineNotInRoot.selector);
        net.voidNet(operator, TODAY, settled, debits, other, to);
    }

    function test_withinTheWindowAndBeforeRelease() public {
        twoLines();
        lines[1].signature = "";
        settleLines();
        vm.warp(NOW + WINDOW);
        bytes32[] memory to = path(1);
        Line memory line = lines[1];
        vm.expectRevert(tooLate(NOW + WINDOW));
        net.voidNet(operator, TODAY, settled, debits, line, to);
    }

    function test_attack_aVoidBatchIsNeverReleased() public {
        twoLines();
        lines[1].signature = "";
        settleLines();
        voidBy(1);
        vm.warp(NOW + WINDOW);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NetUnknown.selector, operator, TODAY));
        net.releaseNet(operator, TODAY, settled, credits);
    }

    /// @dev Attack: the operator begins to take its deposit out before anybody sees the batch.
    function test_attack_theDepositOnItsWayOutIsForfeitAsWell() public {
        twoLines();
        lines[1].signature = "";
        settleLines();
        startOut(OPERATOR_KEY, 1_000);
        vm.warp(NOW + WINDOW - 1);
        voidBy(1);
        check(balance(buyer) == 11_000 && net.memberOf(operator, operator).pending == 0, "forfeit");
        expectSolvent(0);
    }

    function test_attack_otherDebits() public {
        twoLines();
        lines[1].signature = "";
        settleLines();
        bytes memory other = entry(seller, 600);
        bytes32[] memory to = path(1);
        Line memory line = lines[1];
        vm.expectRevert(MarketErrors.BadEntries.selector);
        net.voidNet(operator, TODAY, settled, other, line, to);
    }
}
