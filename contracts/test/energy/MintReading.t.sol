// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: Reading mints 1,000 units for each watt-hour counted since the last.
contract MintReadingTest is EnergyBase {
    function setUp() public override {
        super.setUp();
        register();
    }

    function refused(Reading memory m, uint256 key, bytes4 code) private {
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(refusal(code));
        token.mintReading(m, sig);
    }

    function test_theFirstReadingCountsFromTheInitialCounter() public {
        pass(250);
        Reading memory m = Reading(SOURCE, 1, INITIAL + 250, uint40(time()));
        bytes memory sig = sign(DEVICE_KEY, digest(m));
        vm.expectEmit(address(token));
        emit EnergyEvents.Produced(SOURCE, 1, INITIAL + 250, uint40(time()));
        vm.prank(stranger); // anybody brings it
        token.mintReading(m, sig);
        check(token.totalSupply() == 250_000 && token.produced(SOURCE) == 250_000, "minted");
        check(token.balanceOf(owner) == 0 && token.claimable(SOURCE, owner) == 250_000, "until it is claimed");
        Meter memory meter = token.meterOf(SOURCE);
        check(meter.index == 1 && meter.counterWh == INITIAL + 250 && meter.maxPowerW == POWER, "meter");
        check(meter.meterTime == time() && meter.seenAt == time(), "times");
    }

    function test_aReplayIsRefused() public {
        pass(10);
        Reading memory m = aReading(10);
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        vm.warp(time() + 30 days);
        refused(m, DEVICE_KEY, EnergyErrors.IndexNotNewer.selector);
        check(token.totalSupply() == 10_000, "once");
    }

    function test_aDuplicateFrameUnderANewIndexMintsNothing() public {
        produce(10);
        vm.warp(time() + 1);
        Reading memory m = aReading(0);
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        check(token.totalSupply() == 10_000 && token.meterOf(SOURCE).index == 2, "no difference, no energy");
    }

    function test_aLateFrameIsRefused() public {
        pass(10);
        Reading memory late = aReading(10);
        vm.warp(time() + 900);
        Reading memory newer = aReading(20);
        newer.index = late.index + 1;
        token.mintReading(newer, sign(DEVICE_KEY, digest(newer)));
        refused(late, DEVICE_KEY, EnergyErrors.IndexNotNewer.selector);
        late.index = newer.index + 1;
        refused(late, DEVICE_KEY, EnergyErrors.MeterTimeOutOfRange.selector);
    }

    function test_lostFramesAreMadeUpByTheNext() public {
        pass(500);
        Reading memory m = aReading(500);
        m.index = 40;
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        check(token.totalSupply() == 500_000, "the counter tells all");
    }

    function test_aNegativeDifferenceIsRefused() public {
        produce(10);
        pass(10);
        Reading memory m = aReading(0);
        m.counterWh -= 1;
        refused(m, DEVICE_KEY, EnergyErrors.CounterDecreased.selector);
        m.counterWh = 0;
        refused(m, DEVICE_KEY, EnergyErrors.CounterDecreased.selector);
    }

    function test_onlyTheDeviceOfTheSource() public {
        pass(10);
        Reading memory m = aReading(10);
        refused(m, STRANGER_KEY, EnergyErrors.NotTheDevice.selector);
        refused(m, OWNER_KEY, EnergyErrors.NotTheDevice.selector);
        refused(m, REGISTRAR_KEY, EnergyErrors.NotTheDevice.selector);
        vm.prank(device); // a device signs, it does not call
        vm.expectRevert(refusal(EnergyErrors.NotTheDevice.selector));
        token.mintReading(m, "");
    }

    function test_aForeignSourceIsRefused() public {
        RegisterSource memory other = aSource(8);
        other.device = vm.addr(NEW_DEVICE_KEY);
        bytes32 hash = digest(other);
        token.registerSource(other, sign(OWNER_KEY, hash), sign(NEW_DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash));
        pass(10);
        Reading memory m = aReading(10);
        m.source = 8;
        bytes memory sig = sign(DEVICE_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.NotTheDevice.selector, 8));
        token.mintReading(m, sig);
        m.source = 9;
        sig = sign(DEVICE_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.NotTheDevice.selector, 9));
        token.mintReading(m, sig);
    }

    /// @dev What a stolen key can mint: the plant's power times the time since the last reading, by the chain's clock.
    function test_aStolenKeyIsBoundByPower() public {
        vm.warp(NOW + 3600);
        Reading memory m = Reading(SOURCE, 1, INITIAL + POWER + 1, NOW + 3600);
        refused(m, DEVICE_KEY, EnergyErrors.PowerExceeded.selector);
        m.counterWh = INITIAL + POWER;
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        // Another in the same block, with the meter's clock put forward: no time has passed on the chain.
        m = Reading(SOURCE, 2, m.counterWh + 1, NOW + 3600 + 10 minutes);
        refused(m, DEVICE_KEY, EnergyErrors.PowerExceeded.selector);
        check(token.totalSupply() == uint256(POWER) * 1000, "one hour of power in one hour");
    }

    function test_theMetersClockMayBeAheadALittle() public {
        vm.warp(NOW + 60);
        Reading memory m = Reading(SOURCE, 1, INITIAL, NOW + 60 + 15 minutes + 1);
        refused(m, DEVICE_KEY, EnergyErrors.MeterTimeOutOfRange.selector);
        m.meterTime -= 1;
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        m = Reading(SOURCE, 2, INITIAL, m.meterTime);
        refused(m, DEVICE_KEY, EnergyErrors.MeterTimeOutOfRange.selector);
    }

    function test_readingsFromBeforeTheRegistrationAreRefused() public {
        vm.warp(NOW + 60);
        refused(Reading(SOURCE, 1, INITIAL, NOW), DEVICE_KEY, EnergyErrors.MeterTimeOutOfRange.selector);
    }

    function test_theEdgesOfTheNumbers() public {
        RegisterSource memory s = aSource(9);
        (s.initialCounter, s.maxPowerW, s.shares) = (0, type(uint48).max, 1);
        register(s);
        // The largest difference whose units fit 64 bits, by one share: `acc` comes to 2^64 short of 2^128.
        uint64 most = type(uint64).max / 1000;
        vm.warp(NOW + uint256(most) * 3600 / type(uint48).max + 1);
        Reading memory m = Reading(9, 1, most + 1, uint40(time()));
        bytes memory sig = sign(DEVICE_KEY, digest(m));
        vm.warp(time() + 1);
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.TooMuchEnergy.selector, 9));
        token.mintReading(m, sig);
        m.counterWh = most;
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        check(token.claimable(9, owner) == uint256(most) * 1000, "at the edge");
        vm.warp(time() + 3600);
        m = Reading(9, 2, most + 1, uint40(time()));
        sig = sign(DEVICE_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.TooMuchEnergy.selector, 9));
        token.mintReading(m, sig);
        check(token.totalSupply() == uint256(most) * 1000, "nothing wrapped");
    }

    function testFuzz_nothingButDifferencesIsMinted(uint32[8] memory steps) public {
        uint256 sum;
        for (uint256 i; i < steps.length; ++i) {
            uint64 step = steps[i] % 100_000;
            produce(step);
            sum += step;
        }
        check(token.totalSupply() == sum * 1000 && claim(owner) == sum * 1000, "1,000 units a watt-hour");
    }

    function testFuzz_aChangedFieldIsAnotherMessage(uint8 field, uint64 by) public {
        pass(5_000);
        Reading memory m = aReading(5_000);
        bytes memory sig = sign(DEVICE_KEY, digest(m));
        by = uint64(bound(by, 1, 1_000));
        if (field % 3 == 0) m.index += uint32(by);
        else if (field % 3 == 1) m.counterWh -= by;
        else m.meterTime += uint40(bound(by, 1, 900));
        vm.expectRevert(refusal(EnergyErrors.NotTheDevice.selector));
        token.mintReading(m, sig);
    }
}
