// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: MeterReset for a swapped meter, a rollover, a stolen key.
contract ResetMeterTest is EnergyBase {
    address private newDevice = vm.addr(NEW_DEVICE_KEY);

    function setUp() public override {
        super.setUp();
        register();
        produce(1_000);
    }

    function refusedReset(MeterReset memory m, uint256 deviceKey, bytes memory reason) private {
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d, bytes memory r) =
            (sign(OWNER_KEY, hash), sign(deviceKey, hash), sign(REGISTRAR_KEY, hash));
        vm.expectRevert(reason);
        token.resetMeter(m, o, d, r);
    }

    function refusedReading(Reading memory m, uint256 key, bytes4 code) private {
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(refusal(code));
        token.mintReading(m, sig);
    }

    function test_aSwapMintsTheRestAndStartsAnew() public {
        pass(200);
        MeterReset memory m = aReset(newDevice);
        m.oldFinal += 200;
        m.newInitial = 17;
        vm.expectEmit(address(token));
        emit EnergyEvents.MeterWasReset(SOURCE, newDevice, 1, m.oldFinal, 17, POWER);
        reset(m, NEW_DEVICE_KEY);
        check(token.totalSupply() == 1_200_000, "the rest is minted");
        Source memory source = token.sourceOf(SOURCE);
        check(source.device == newDevice && source.initialCounter == 17 && source.earlierWh == 1_200, "record");
        pass(300);
        Reading memory r = aReading(300);
        check(r.counterWh == 317 && r.index == 2, "counts from the new start");
        refusedReading(r, DEVICE_KEY, EnergyErrors.NotTheDevice.selector);
        token.mintReading(r, sign(NEW_DEVICE_KEY, digest(r)));
        check(token.totalSupply() == 1_500_000 && claim(owner) == 1_500_000, "one history");
    }

    function test_aRolloverKeepsTheDevice() public {
        MeterReset memory m = aReset(device);
        reset(m, DEVICE_KEY);
        check(token.meterOf(SOURCE).counterWh == 0 && token.totalSupply() == 1_000_000, "from zero, nothing minted");
        produce(5);
        check(token.totalSupply() == 1_005_000, "goes on");
    }

    /// @dev A reading signed before the reset and held back would mint the whole old counter against the new start.
    function test_aReadingFromBeforeIsNotTakenAfter() public {
        pass(10);
        Reading memory held = aReading(10);
        bytes memory sig = sign(DEVICE_KEY, digest(held));
        MeterReset memory m = aReset(device);
        (m.index, m.oldFinal) = (held.index, held.counterWh);
        reset(m, DEVICE_KEY);
        vm.warp(time() + 30 days);
        vm.expectRevert(refusal(EnergyErrors.IndexNotNewer.selector));
        token.mintReading(held, sig);
    }

    /// @dev The same with a meter whose clock was ahead: by its time alone the reading would look new.
    function test_aReadingFromBeforeWithAClockAheadIsNotTakenAfter() public {
        pass(10);
        Reading memory held = aReading(10);
        held.meterTime = uint40(time()) + 10 minutes;
        bytes memory sig = sign(DEVICE_KEY, digest(held));
        MeterReset memory m = aReset(device);
        m.index = held.index;
        reset(m, DEVICE_KEY);
        vm.warp(time() + 5 minutes);
        vm.expectRevert(refusal(EnergyErrors.IndexNotNewer.selector));
        token.mintReading(held, sig);
    }

    function test_aResetIsNotRepeated() public {
        MeterReset memory m = aReset(device);
        reset(m, DEVICE_KEY);
        produce(50);
        m.oldFinal = 1_000_000;
        refusedReset(m, DEVICE_KEY, refusal(EnergyErrors.IndexNotNewer.selector));
        m.index = 2;
        pass(1_000_000);
        m.deadline = soon();
        refusedReset(m, DEVICE_KEY, abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
    }

    /// @dev A device that comes back finds nothing of its former time.
    function test_aFormerDeviceComesBackWithoutItsPast() public {
        pass(10);
        Reading memory held = aReading(10);
        bytes memory sig = sign(DEVICE_KEY, digest(held));
        MeterReset memory m = aReset(newDevice);
        m.index = held.index;
        reset(m, NEW_DEVICE_KEY);
        reset(aReset(device), DEVICE_KEY);
        pass(10_000);
        vm.expectRevert(refusal(EnergyErrors.IndexNotNewer.selector));
        token.mintReading(held, sig);
    }

    function test_allThreeMustSign() public {
        MeterReset memory m = aReset(newDevice);
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d, bytes memory r, bytes memory s) =
            (sign(OWNER_KEY, hash), sign(NEW_DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash), sign(STRANGER_KEY, hash));
        vm.expectRevert(wrongSigner(owner));
        token.resetMeter(m, s, d, r);
        vm.expectRevert(refusal(EnergyErrors.NotTheDevice.selector));
        token.resetMeter(m, o, s, r);
        vm.expectRevert(wrongSigner(registrar));
        token.resetMeter(m, o, d, s);
        token.resetMeter(m, o, d, r);
    }

    /// @dev Not even the three together mint what the plant cannot have made, or take back what was minted.
    function test_theRestIsBoundedToo() public {
        MeterReset memory m = aReset(newDevice);
        m.oldFinal -= 1;
        refusedReset(m, NEW_DEVICE_KEY, refusal(EnergyErrors.CounterDecreased.selector));
        m.oldFinal = type(uint64).max;
        refusedReset(m, NEW_DEVICE_KEY, refusal(EnergyErrors.PowerExceeded.selector));
        m.oldFinal = token.meterOf(SOURCE).counterWh;
        m.index = 0;
        refusedReset(m, NEW_DEVICE_KEY, refusal(EnergyErrors.IndexNotNewer.selector));
    }

    function test_strangersSourcesAndLateMessages() public {
        MeterReset memory m = aReset(newDevice);
        m.source = 8;
        refusedReset(m, NEW_DEVICE_KEY, abi.encodeWithSelector(EnergyErrors.SourceUnknown.selector, 8));
        m = aReset(newDevice);
        m.owner = stranger;
        refusedReset(m, NEW_DEVICE_KEY, abi.encodeWithSelector(EnergyErrors.NotSourceOwner.selector, SOURCE, stranger));
        m = aReset(address(0));
        refusedReset(m, NEW_DEVICE_KEY, abi.encodeWithSelector(CommonErrors.ZeroAddress.selector));
        m = aReset(newDevice);
        vm.warp(m.deadline + 1);
        refusedReset(m, NEW_DEVICE_KEY, abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
    }

    /// @dev contracts.md: a stolen key is paused at once; the pause outlasts the reset until its author ends it.
    function test_afterATheft() public {
        pause(OWNER_KEY, true);
        pass(100);
        refusedReading(aReading(100), DEVICE_KEY, EnergyErrors.SourcePaused.selector);
        reset(aReset(newDevice), NEW_DEVICE_KEY);
        pass(100);
        refusedReading(aReading(100), NEW_DEVICE_KEY, EnergyErrors.SourcePaused.selector);
        pause(OWNER_KEY, false);
        refusedReading(aReading(100), DEVICE_KEY, EnergyErrors.NotTheDevice.selector);
        Reading memory m = aReading(100);
        token.mintReading(m, sign(NEW_DEVICE_KEY, digest(m)));
        check(token.totalSupply() == 1_100_000, "honest again");
    }

    /// @dev The last counter of a meter is no way round what a source can hold.
    function test_noMoreThanASourceCanMake() public {
        RegisterSource memory s = aSource(9);
        (s.initialCounter, s.maxPowerW, s.shares, s.deadline) = (0, type(uint48).max, 1, soon());
        register(s);
        uint64 most = type(uint64).max / 1000;
        vm.warp(time() + uint256(most) * 3600 / type(uint48).max + 1);
        Reading memory m = Reading(9, 1, most, uint40(time()));
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        vm.warp(time() + 3600);
        MeterReset memory r = aReset(device);
        (r.source, r.index, r.oldFinal, r.deadline) = (9, 1, most + 1, soon());
        refusedReset(r, DEVICE_KEY, abi.encodeWithSelector(EnergyErrors.TooMuchEnergy.selector, 9));
    }
}
