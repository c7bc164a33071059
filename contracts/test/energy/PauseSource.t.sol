// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: owner or registrar may pause a source at once.
contract PauseSourceTest is EnergyBase {
    function setUp() public override {
        super.setUp();
        register();
    }

    function refused() private {
        Reading memory m = aReading(10);
        bytes memory sig = sign(DEVICE_KEY, digest(m));
        vm.expectRevert(refusal(EnergyErrors.SourcePaused.selector));
        token.mintReading(m, sig);
    }

    function test_eitherPausesAndEndsOnlyTheOwnPause() public {
        vm.expectEmit(address(token));
        emit EnergyEvents.SourcePauseSet(SOURCE, owner, true);
        pause(OWNER_KEY, true);
        check(token.meterOf(SOURCE).pauses == 1, "owner's");
        pass(10);
        refused();
        pause(REGISTRAR_KEY, true);
        check(token.meterOf(SOURCE).pauses == 3, "both");
        pause(OWNER_KEY, false);
        check(token.meterOf(SOURCE).pauses == 2, "registrar's stands");
        refused();
        pause(REGISTRAR_KEY, false);
        produce(10);
        check(token.totalSupply() == 10_000, "goes on");
    }

    function test_whatWasCountedMeanwhileIsNotLost() public {
        pause(OWNER_KEY, true);
        pass(100);
        pause(OWNER_KEY, false);
        produce(150);
        check(token.totalSupply() == 150_000, "a pause delays");
    }

    function test_aPauseChangesNothingElse() public {
        produce(10);
        Meter memory before = token.meterOf(SOURCE);
        pause(OWNER_KEY, true);
        pause(OWNER_KEY, true);
        Meter memory during = token.meterOf(SOURCE);
        check(during.pauses == 1, "once is enough");
        during.pauses = 0;
        check(keccak256(abi.encode(before)) == keccak256(abi.encode(during)), "all else stays");
        check(claim(owner) == 10_000, "claims go on");
        move(OWNER_KEY, holder, 1);
    }

    function test_theOwnerMayCall() public {
        PauseSource memory m = aPause(owner, true);
        vm.prank(owner);
        token.pauseSource(m, "");
        check(token.meterOf(SOURCE).pauses == 1, "paused");
    }

    function test_oneWhoIsBothPausesAsBoth() public {
        token = deploy(owner);
        RegisterSource memory m = aSource(SOURCE);
        bytes32 hash = digest(m);
        token.registerSource(m, sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(OWNER_KEY, hash));
        pause(OWNER_KEY, true);
        check(token.meterOf(SOURCE).pauses == 3, "both");
        pause(OWNER_KEY, false);
        check(token.meterOf(SOURCE).pauses == 0, "neither");
    }

    function test_othersCannot() public {
        PauseSource memory m = aPause(stranger, true);
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.NotInCharge.selector, SOURCE, stranger));
        token.pauseSource(m, sig);
        m = aPause(device, true);
        sig = sign(DEVICE_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.NotInCharge.selector, SOURCE, device));
        token.pauseSource(m, sig);
        m = aPause(owner, true);
        sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        token.pauseSource(m, sig);
        m.source = 8;
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.SourceUnknown.selector, 8));
        token.pauseSource(m, sig);
    }

    function test_aPauseIsNotReplayed() public {
        PauseSource memory m = aPause(owner, true);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        token.pauseSource(m, sig);
        pause(OWNER_KEY, false);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        token.pauseSource(m, sig);
        vm.warp(m.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        token.pauseSource(m, sig);
    }
}
