// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

/// @dev With the chain's P-256 precompile.
/// forge-config: default.evm_version = "osaka"
/// forge-config: long.evm_version = "osaka"
contract MeasureTest is MarketBase {
    function tryMeasure(Evidence memory e, bytes memory expected) internal {
        vm.expectRevert(expected);
        market.measure(made, offer, e);
    }

    function bad() internal pure returns (bytes memory) {
        return abi.encodeWithSelector(MarketErrors.WrongEvidence.selector);
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev A-10: meter evidence decides; within what the partners said.
    function testFuzz_A10_theMeterDecidesBetweenTheTwo(uint64 counted) public {
        counted = uint64(bound(counted, 0, 3 * WH));
        bytes32 id = contested();
        market.measure(made, offer, evidence(7, 7 + counted));
        uint64 wh = counted < WH / 2 ? WH / 2 : counted > WH ? WH : counted;
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Delivered && t.firstWh == wh, "measured");
        check(t.due == uint256(wh) * PRICE / 1000, "due");
    }

    function test_theBuyersMeterCountsAsWell() public {
        uint256 key = 0x777;
        request.device = vm.addr(key);
        bytes32 id = contested();
        Evidence memory e;
        e.first = Counter(request.device, 100, START - 300);
        e.last = Counter(request.device, 1_600, END + 300);
        e.firstSig = sign(key, digest(e.first));
        e.lastSig = sign(key, digest(e.last));
        market.measure(made, request, e);
        check(market.contractOf(operator, id).firstWh == 1_500, "measured");
    }

    function p256Sign(uint256 key, bytes32 hash) internal pure returns (bytes memory) {
        uint256 order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;
        (bytes32 r, bytes32 s) = vm.signP256(key, hash);
        if (uint256(s) > order / 2) s = bytes32(order - uint256(s));
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return abi.encodePacked(r, s, x, y);
    }

    /// @dev Many a meter's secure element has P-256 only.
    function test_aMeterSignsByP256() public {
        uint256 key = 0xF1D0;
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        offer.device = address(uint160(uint256(keccak256(abi.encodePacked(x, y)))));
        bytes32 id = contested();
        Evidence memory e;
        e.ofSeller = true;
        e.first = Counter(offer.device, 0, START);
        e.last = Counter(offer.device, 1_700, END);
        e.firstSig = p256Sign(key, digest(e.first));
        e.lastSig = p256Sign(key + 1, digest(e.last));
        tryMeasure(e, wrongSigner(offer.device));
        e.lastSig = p256Sign(key, digest(e.last));
        market.measure(made, offer, e);
        check(market.contractOf(operator, id).firstWh == 1_700, "measured");
    }

    function test_withinTheWindowOnly() public {
        contested();
        vm.warp(END + 3 days);
        tryMeasure(evidence(0, WH), tooLate(END + 3 days));
        vm.warp(END + 3 days - 1);
        market.measure(made, offer, evidence(0, WH));
    }

    function test_attack_anotherDevice() public {
        contested();
        Evidence memory e = evidence(0, WH);
        e.first.device = stranger;
        tryMeasure(e, bad());
        e = evidence(0, WH);
        e.last.device = stranger;
        tryMeasure(e, bad());
        e = evidence(0, WH);
        e.lastSig = sign(STRANGER_KEY, digest(e.last));
        tryMeasure(e, wrongSigner(meter));
        e = evidence(0, WH);
        e.firstSig = "";
        tryMeasure(e, wrongSigner(meter));
    }

    function test_attack_anotherTime() public {
        contested();
        Evidence memory e = evidence(0, WH);
        e.first.meterTime = START - 301;
        tryMeasure(e, bad());
        e.first.meterTime = START + 301;
        tryMeasure(e, bad());
        e = evidence(0, WH);
        e.last.meterTime = END + 301;
        tryMeasure(e, bad());
        e.last.meterTime = END - 301;
        tryMeasure(e, bad());
    }

    function test_attack_runningBackwards() public {
        contested();
        tryMeasure(evidence(5, 4), bad());
    }

    function test_attack_anOrderOfAnotherContract() public {
        contested();
        Order memory other = offer;
        other.device = stranger;
        Evidence memory e = evidence(0, WH);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.WrongOrder.selector, made.offer, offerDigest(other)));
        market.measure(made, other, e);
        // The offer does not pass for the request.
        e.ofSeller = false;
        bytes memory wrong =
            abi.encodeWithSelector(MarketErrors.WrongOrder.selector, made.request, requestDigest(offer));
        vm.expectRevert(wrong);
        market.measure(made, offer, e);
    }

    function test_noMeterNamed() public {
        contested();
        Evidence memory e = evidence(0, WH);
        e.ofSeller = false;
        (e.first.device, e.last.device) = (address(0), address(0));
        vm.expectRevert(bad());
        market.measure(made, request, e);
    }

    function test_aMatchThatWasNeverMade() public {
        contested();
        Match memory m = made;
        m.nonce = 999_999;
        bytes32 id = digest(m);
        Evidence memory e = evidence(0, WH);
        vm.expectRevert(wrongState(id, State.None));
        market.measure(m, offer, e);
    }
}
