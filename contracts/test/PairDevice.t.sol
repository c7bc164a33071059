// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { PairDevice, Pairing } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors, Errors, Events } from "./Base.sol";

contract PairDeviceTest is Base {
    function test_recordsBothSides() public {
        PairDevice memory m = aPairing();
        vm.expectEmit(address(registry));
        emit Events.DevicePaired(owner, m.deviceHash, device);
        registry.pairDevice(m, device, SALT, sign(OWNER_KEY, digest(m)), sign(DEVICE_KEY, digest(m)));
        Pairing memory p = registry.pairingOf(m.deviceHash);
        check(p.owner == owner && p.device == device, "pairing");
    }

    function test_needsBothSides() public {
        PairDevice memory m = aPairing();
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(DEVICE_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        registry.pairDevice(m, device, SALT, b, b);
        vm.expectRevert(wrongSigner(device));
        registry.pairDevice(m, device, SALT, a, a);
        vm.prank(device);
        registry.pairDevice(m, device, SALT, a, "");
    }

    function testFuzz_theHashBindsOwnerDeviceAndSalt(address other, bytes32 salt) public {
        PairDevice memory m = aPairing();
        bytes memory wrong = abi.encodeWithSelector(Errors.WrongDeviceHash.selector, m.deviceHash);
        if (other != device && other != address(0)) {
            vm.expectRevert(wrong);
            registry.pairDevice(m, other, SALT, "", "");
        }
        if (salt != SALT) {
            vm.expectRevert(wrong);
            registry.pairDevice(m, device, salt, "", "");
        }
        if (other != owner && other != address(0)) {
            m.owner = other;
            vm.expectRevert(wrong);
            registry.pairDevice(m, device, SALT, "", "");
        }
    }

    function test_onceInTimeAndSomebody() public {
        bytes32 deviceHash = pair();
        PairDevice memory m = aPairing();
        vm.expectRevert(abi.encodeWithSelector(Errors.AlreadyPaired.selector, deviceHash));
        registry.pairDevice(m, device, SALT, "", "");
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.pairDevice(m, address(0), SALT, "", "");
        m.owner = address(0);
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        registry.pairDevice(m, device, SALT, "", "");
        m.deadline = NOW - 1;
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        registry.pairDevice(m, device, SALT, "", "");
    }

    function test_anOldPairingMessageCannotPairAgainAfterAnUnpair() public {
        PairDevice memory m = aPairing();
        bytes memory a = sign(OWNER_KEY, digest(m));
        bytes memory b = sign(DEVICE_KEY, digest(m));
        registry.pairDevice(m, device, SALT, a, b);
        vm.prank(owner);
        registry.unpairDevice(unpairing(owner, m.deviceHash), "");
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        registry.pairDevice(m, device, SALT, a, b);
        pair();
    }
}
