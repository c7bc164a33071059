// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: RegisterSource, signed by owner, device and registrar.
contract RegisterSourceTest is EnergyBase {
    function test_aSourceIsRecorded() public {
        RegisterSource memory m = aSource(SOURCE);
        vm.expectEmit(address(token));
        emit EnergyEvents.SourceRegistered(SOURCE, owner, device, INITIAL, POWER, SHARES);
        register(m);
        Source memory source = token.sourceOf(SOURCE);
        check(source.owner == owner && source.device == device, "parties");
        check(source.initialCounter == INITIAL && source.earlierWh == 0 && source.shares == SHARES, "numbers");
        Meter memory meter = token.meterOf(SOURCE);
        check(meter.counterWh == INITIAL && meter.index == 0 && meter.maxPowerW == POWER, "meter");
        check(meter.meterTime == NOW && meter.seenAt == NOW && meter.pauses == 0, "clocks start now");
        check(token.balanceOf(owner, SOURCE) == SHARES, "the owner has the shares");
        check(token.sources().length == 1 && token.sources()[0] == SOURCE, "listed");
        check(token.nonceUsed(owner, m.nonce), "nonce");
        check(token.totalSupply() == 0, "no value yet");
    }

    function test_withoutTheRegistrarThereIsNoSource() public {
        RegisterSource memory m = aSource(SOURCE);
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d, bytes memory s) =
            (sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(STRANGER_KEY, hash));
        vm.expectRevert(wrongSigner(registrar));
        token.registerSource(m, o, d, s);
        vm.expectRevert(wrongSigner(registrar));
        token.registerSource(m, o, d, o);
        vm.expectRevert(wrongSigner(registrar));
        token.registerSource(m, o, d, "");
    }

    function test_ownerAndDeviceMustSign() public {
        RegisterSource memory m = aSource(SOURCE);
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d, bytes memory r) =
            (sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash));
        vm.expectRevert(wrongSigner(owner));
        token.registerSource(m, r, d, r);
        vm.expectRevert(refusal(EnergyErrors.NotTheDevice.selector));
        token.registerSource(m, o, r, r);
        vm.expectRevert(refusal(EnergyErrors.NotTheDevice.selector));
        token.registerSource(m, o, "", r);
        token.registerSource(m, o, d, r);
    }

    function test_theRegistrarMayCall() public {
        RegisterSource memory m = aSource(SOURCE);
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d) = (sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash));
        vm.prank(registrar);
        token.registerSource(m, o, d, "");
        check(token.sourceOf(SOURCE).owner == owner, "registered");
    }

    function test_aNumberIsTakenOnce() public {
        register();
        RegisterSource memory m = aSource(SOURCE);
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d, bytes memory r) =
            (sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash));
        vm.expectRevert(refusal(EnergyErrors.SourceExists.selector));
        token.registerSource(m, o, d, r);
    }

    function test_noncesAreUsedOnceAndDeadlinesHold() public {
        RegisterSource memory m = aSource(SOURCE);
        register(m);
        m.source = 8;
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d, bytes memory r) =
            (sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash));
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        token.registerSource(m, o, d, r);
        vm.warp(m.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        token.registerSource(m, o, d, r);
    }

    function test_nobodyIsNotAParty() public {
        RegisterSource memory m = aSource(SOURCE);
        m.owner = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        token.registerSource(m, "", "", "");
        m = aSource(SOURCE);
        m.device = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        token.registerSource(m, "", "", "");
    }

    function test_aTokenHasARegistrar() public {
        bytes memory code = abi.encodePacked(vm.getCode("EnergyToken.sol:EnergyToken"), abi.encode(address(0)));
        expectNoCreation(code, abi.encodeWithSelector(CommonErrors.ZeroAddress.selector));
        check(token.registrar() == registrar, "the constructor's");
    }

    function testFuzz_recordsAreKeptApart(uint64 a, uint64 b, uint64 initial, uint48 power, uint64 shares) public {
        vm.assume(a != b);
        RegisterSource memory m = aSource(a);
        (m.initialCounter, m.maxPowerW, m.shares) = (initial, power, shares);
        register(m);
        register(aSource(b));
        check(token.meterOf(a).counterWh == initial && token.meterOf(a).maxPowerW == power, "a's meter");
        check(token.balanceOf(owner, a) == shares && token.balanceOf(owner, b) == SHARES, "shares");
        check(token.meterOf(b).counterWh == INITIAL && token.meterOf(b).maxPowerW == POWER, "b's meter");
        check(token.produced(a) == 0 && token.totalSupply() == 0, "nothing produced");
    }
}
