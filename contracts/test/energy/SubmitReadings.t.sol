// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Log } from "../Vm.sol";
import "./EnergyBase.sol";

/// @dev contracts.md, rules for all messages: many readings in one call, refused ones named and without effect.
contract SubmitReadingsTest is EnergyBase {
    uint64 private constant SOURCES = 5;

    function setUp() public override {
        super.setUp();
        for (uint64 i; i < SOURCES; ++i) {
            register(aSource(SOURCE + i));
        }
        vm.warp(NOW + 3600);
    }

    function reading(uint64 source, uint32 index, uint64 wattHours) private view returns (Reading memory) {
        return Reading(source, index, INITIAL + wattHours, uint40(time()) - 100 + index);
    }

    function packed(Reading memory m, uint256 key) private view returns (bytes memory) {
        return pack(m, sign(key, digest(m)));
    }

    function submitRejects(bytes memory readings, Reading memory m, bytes4 code) private {
        vm.expectEmit(address(token));
        emit CommonEvents.Rejected(digest(m), code);
        token.submitReadings(readings);
    }

    function test_manyReadings() public {
        bytes memory all;
        for (uint64 i; i < SOURCES; ++i) {
            all = bytes.concat(all, packed(reading(SOURCE + i, 1, 100 + i), DEVICE_KEY));
            all = bytes.concat(all, packed(reading(SOURCE + i, 2, 100 + i), DEVICE_KEY));
        }
        token.submitReadings(all);
        check(token.totalSupply() == 510_000, "all minted");
        check(token.meterOf(SOURCE + 4).index == 2, "in order");
    }

    function test_theSameAsOneByOne() public {
        Reading memory m = reading(SOURCE, 1, 123);
        bytes memory sig = sign(DEVICE_KEY, digest(m));
        uint256 state = vm.snapshotState();
        token.mintReading(m, sig);
        bytes32 single = keccak256(abi.encode(token.meterOf(SOURCE), token.sourceOf(SOURCE)));
        vm.revertToState(state);
        token.submitReadings(pack(m, sig));
        check(keccak256(abi.encode(token.meterOf(SOURCE), token.sourceOf(SOURCE))) == single, "same state");
    }

    /// @dev Every kind of refusal between two good readings.
    function test_aRefusedReadingSinksNoOther() public {
        Reading[6] memory bad = [
            reading(SOURCE + 1, 1, 100),
            reading(SOURCE + 1, 0, 100),
            reading(SOURCE + 1, 1, 1_000_000),
            reading(SOURCE + 1, 1, 0),
            reading(SOURCE + 1, 1, 100),
            reading(SOURCE + 2, 1, 100)
        ];
        bad[3].counterWh = INITIAL - 1;
        bad[4].meterTime = uint40(time()) + 1 days;
        bytes4[6] memory codes = [
            EnergyErrors.NotTheDevice.selector,
            EnergyErrors.IndexNotNewer.selector,
            EnergyErrors.PowerExceeded.selector,
            EnergyErrors.CounterDecreased.selector,
            EnergyErrors.MeterTimeOutOfRange.selector,
            EnergyErrors.SourcePaused.selector
        ];
        PauseSource memory p = PauseSource(owner, SOURCE + 2, true, freshNonce(), soon());
        token.pauseSource(p, sign(OWNER_KEY, digest(p)));
        bytes memory all = packed(reading(SOURCE, 1, 50), DEVICE_KEY);
        for (uint256 i; i < 6; ++i) {
            all = bytes.concat(all, packed(bad[i], i == 0 ? STRANGER_KEY : DEVICE_KEY));
        }
        all = bytes.concat(all, packed(reading(SOURCE + 3, 1, 80), DEVICE_KEY));
        for (uint256 i; i < 6; ++i) {
            vm.expectEmit(address(token));
            emit CommonEvents.Rejected(digest(bad[i]), codes[i]);
        }
        token.submitReadings(all);
        check(token.totalSupply() == 130_000, "the good ones count");
        check(token.meterOf(SOURCE + 1).index == 0 && token.meterOf(SOURCE + 2).index == 0, "the bad ones do not");
        Reading memory later = reading(SOURCE + 1, 1, 100);
        token.submitReadings(packed(later, DEVICE_KEY));
        check(token.totalSupply() == 230_000, "and burnt nothing");
    }

    function test_theSameReadingTwice() public {
        Reading memory m = reading(SOURCE, 1, 50);
        bytes memory one = packed(m, DEVICE_KEY);
        submitRejects(bytes.concat(one, one), m, EnergyErrors.IndexNotNewer.selector);
        check(token.totalSupply() == 50_000, "counts once");
    }

    /// @dev No time passes within a block, so only the first of two readings of a source can mint: bring the newest.
    function test_twoReadingsOfOneSource() public {
        Reading memory m = reading(SOURCE, 2, 80);
        bytes memory both = bytes.concat(packed(reading(SOURCE, 1, 50), DEVICE_KEY), packed(m, DEVICE_KEY));
        submitRejects(both, m, EnergyErrors.PowerExceeded.selector);
        vm.warp(time() + 60);
        token.submitReadings(packed(m, DEVICE_KEY));
        check(token.totalSupply() == 80_000, "the rest later");
    }

    function test_theMalleatedTwinIsRefused() public {
        Reading memory m = reading(SOURCE, 1, 50);
        bytes memory sig = malleate(sign(DEVICE_KEY, digest(m)));
        submitRejects(pack(m, sig), m, EnergyErrors.NotTheDevice.selector);
        check(token.totalSupply() == 0, "nothing");
    }

    function test_aChainWithoutP256RefusesIt() public {
        check(!token.verifiesP256(), "prague has no such precompile");
        Reading memory m = reading(SOURCE, 1, 50);
        submitRejects(pack(m, signP256(DEVICE_KEY, digest(m))), m, EnergyErrors.NotTheDevice.selector);
    }

    function test_aTruncatedBatchIsTheBringersFault() public {
        bytes memory one = packed(reading(SOURCE, 1, 50), DEVICE_KEY);
        bytes memory all = bytes.concat(one, packed(reading(SOURCE, 2, 60), DEVICE_KEY));
        for (uint256 size = 91; size < 180; size += 11) {
            bytes memory cut = new bytes(size);
            for (uint256 i; i < size; ++i) {
                cut[i] = all[i];
            }
            vm.expectRevert(abi.encodeWithSelector(EnergyErrors.TruncatedReading.selector, 90));
            token.submitReadings(cut);
        }
        one[89] = 0; // says P-256, whose readings are longer
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.TruncatedReading.selector, 0));
        token.submitReadings(one);
        token.submitReadings("");
        check(token.totalSupply() == 0, "nothing");
    }

    /// @dev Whoever brings a batch cannot have a good reading refused by leaving too little gas.
    function test_aBatchIsNotStarved() public {
        bytes memory all;
        for (uint64 i; i < SOURCES; ++i) {
            all = bytes.concat(all, packed(reading(SOURCE + i, 1, 100), DEVICE_KEY));
        }
        bytes memory data = abi.encodeCall(token.submitReadings, (all));
        uint256 taken;
        for (uint256 gas = 20_000; gas < 400_000; gas += 7_300) {
            uint256 state = vm.snapshotState();
            vm.recordLogs();
            (bool ok,) = address(token).call{ gas: gas }(data);
            Log[] memory logs = vm.getRecordedLogs();
            for (uint256 i; i < logs.length; ++i) {
                check(!ok || logs[i].topics[0] != CommonEvents.Rejected.selector, "starved into a refusal");
            }
            if (ok) ++taken;
            vm.revertToState(state);
        }
        check(taken > 0, "enough gas is enough");
    }

    function testFuzz_noiseMintsNothing(bytes memory noise) public {
        try token.submitReadings(noise) { } catch { }
        check(token.totalSupply() == 0, "nothing");
    }

    function testFuzz_aFlippedBitIsRefused(uint256 where) public {
        bytes memory one = packed(reading(SOURCE, 1, 50), DEVICE_KEY);
        where = bound(where, 0, 90 * 8 - 1);
        one[where / 8] ^= bytes1(uint8(1 << (where % 8)));
        try token.submitReadings(one) { } catch { }
        check(token.totalSupply() == 0, "nothing");
    }
}
