// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./AnchorsBase.sol";

contract AnchorTest is AnchorsBase {
    function test_headsAreChained() public {
        bytes32 first = put(0, keccak256("one"));
        check(anchors.headOf(operator) == first, "first");
        bytes32 second = put(first, keccak256("two"));
        check(anchors.headOf(operator) == second && second != first, "second");
        check(anchors.headOf(stranger) == 0, "of one operator");
    }

    function test_theEventTellsAll() public {
        Anchor memory m = Anchor(operator, 0, keccak256("one"), 250, soon());
        bytes memory sig = sign(OPERATOR_KEY, digest(m));
        vm.expectEmit(address(anchors));
        emit MarketEvents.Anchored(operator, keccak256(abi.encode(bytes32(0), m.root)), m.root, 250);
        anchors.anchor(m, sig);
    }

    /// @dev Attack: bring an anchor twice, or out of its place.
    function test_attack_replayAndOrder() public {
        Anchor memory m = Anchor(operator, 0, keccak256("one"), 250, soon());
        bytes memory sig = sign(OPERATOR_KEY, digest(m));
        anchors.anchor(m, sig);
        bytes32 head = anchors.headOf(operator);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.WrongHead.selector, head));
        anchors.anchor(m, sig);
    }

    function test_attack_forgedOrLate() public {
        Anchor memory m = Anchor(operator, 0, keccak256("one"), 250, soon());
        bytes memory forged = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(operator));
        anchors.anchor(m, forged);
        m.deadline = NOW - 1;
        bytes memory late = sign(OPERATOR_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, NOW - 1));
        anchors.anchor(m, late);
    }

    function test_aCallWithoutAMessageGoesByItsBytes() public view {
        bytes memory call = abi.encodeCall(IAnchors.anchorLog, (0, keccak256("root"), 1));
        check(anchors.digestOf(call) == keccak256(call), "bytes");
    }
}
