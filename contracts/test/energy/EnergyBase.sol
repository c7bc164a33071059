// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC5267 } from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import { IERC6909 } from "@openzeppelin/contracts/interfaces/IERC6909.sol";
import { IERC20Metadata } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import "../../src/interfaces/IEnergyToken.sol";
import { IMessenger } from "../../src/interfaces/IMessenger.sol";
import { CommonErrors } from "../../src/libraries/CommonErrors.sol";
import { CommonEvents } from "../../src/libraries/CommonEvents.sol";
import { EnergyErrors } from "../../src/libraries/EnergyErrors.sol";
import { EnergyEvents } from "../../src/libraries/EnergyEvents.sol";
import { Common } from "../Common.sol";

/// @dev All faces of the contract.
interface IEnergy is IEnergyToken, IMessenger, IERC20Metadata, IERC20Permit, IERC6909, IERC5267 { }

/// @dev A token with one source, actors and messages. Struct hashes are written out here a second time, so that a slip
/// in the contract's own does not cancel out.
abstract contract EnergyBase is Common {
    uint256 internal constant OWNER_KEY = 0xA11CE;
    uint256 internal constant HOLDER_KEY = 0xB0B;
    uint256 internal constant DEVICE_KEY = 0xDE71CE;
    uint256 internal constant NEW_DEVICE_KEY = 0xDE72CE;
    uint256 internal constant REGISTRAR_KEY = 0x2E6;
    uint256 internal constant STRANGER_KEY = 0x57;

    uint64 internal constant SOURCE = 7;
    /// @dev A power of two: what is divided among such shares leaves no remainder. Fuzzed tests divide by others.
    uint64 internal constant SHARES = 1 << 20;
    uint64 internal constant INITIAL = 4_000;
    uint48 internal constant POWER = 30_000;

    IEnergy internal token;
    address internal owner = vm.addr(OWNER_KEY);
    address internal holder = vm.addr(HOLDER_KEY);
    address internal device = vm.addr(DEVICE_KEY);
    address internal registrar = vm.addr(REGISTRAR_KEY);
    address internal stranger = vm.addr(STRANGER_KEY);

    function setUp() public virtual {
        vm.warp(NOW);
        token = deploy(registrar);
    }

    function deploy(address registrar_) internal returns (IEnergy) {
        return IEnergy(create(abi.encodePacked(vm.getCode("EnergyToken.sol:EnergyToken"), abi.encode(registrar_))));
    }

    /* DIGESTS */

    function typed(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainOf("Wattpact EnergyToken", address(token)), structHash));
    }

    function digest(RegisterSource memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "RegisterSource(uint64 source,address owner,address device,uint64 initialCounter,uint48 maxPowerW,uint64 shares,uint256 nonce,uint40 deadline)"
        );
        return typed(
            keccak256(
                abi.encode(
                    head, m.source, m.owner, m.device, m.initialCounter, m.maxPowerW, m.shares, m.nonce, m.deadline
                )
            )
        );
    }

    function digest(IssueShares memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("IssueShares(address owner,uint64 source,uint64 shares,uint256 nonce,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m.owner, m.source, m.shares, m.nonce, m.deadline)));
    }

    function digest(MeterReset memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "MeterReset(uint64 source,address owner,address device,uint32 index,uint64 oldFinal,uint64 newInitial,uint48 maxPowerW,uint256 nonce,uint40 deadline)"
        );
        return typed(
            keccak256(
                abi.encode(
                    head,
                    m.source,
                    m.owner,
                    m.device,
                    m.index,
                    m.oldFinal,
                    m.newInitial,
                    m.maxPowerW,
                    m.nonce,
                    m.deadline
                )
            )
        );
    }

    function digest(PauseSource memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("PauseSource(address account,uint64 source,bool paused,uint256 nonce,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m.account, m.source, m.paused, m.nonce, m.deadline)));
    }

    function digest(Reading memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("Reading(uint64 source,uint32 index,uint64 counterWh,uint40 meterTime)");
        return typed(keccak256(abi.encode(head, m.source, m.index, m.counterWh, m.meterTime)));
    }

    function digest(TransferShares memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "TransferShares(address holder,address receiver,uint64 source,uint64 shares,uint256 nonce,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m.holder, m.receiver, m.source, m.shares, m.nonce, m.deadline)));
    }

    function digest(ClaimEnergy memory m) internal view returns (bytes32) {
        return typed(keccak256(abi.encode(keccak256("ClaimEnergy(address holder,uint64 source)"), m.holder, m.source)));
    }

    function digestPermit(address spender, uint256 value, uint256 nonce, uint256 deadline)
        internal
        view
        returns (bytes32)
    {
        bytes32 head = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        return typed(keccak256(abi.encode(head, holder, spender, value, nonce, deadline)));
    }

    /* MESSAGES */

    function soon() internal view returns (uint40) {
        return uint40(time()) + 1 days;
    }

    function aSource(uint64 source) internal returns (RegisterSource memory) {
        return RegisterSource(source, owner, device, INITIAL, POWER, SHARES, freshNonce(), soon());
    }

    function aReset(address newDevice) internal returns (MeterReset memory) {
        Meter memory meter = token.meterOf(SOURCE);
        return MeterReset(SOURCE, owner, newDevice, meter.index, meter.counterWh, 0, POWER, freshNonce(), soon());
    }

    function aPause(address account, bool paused) internal returns (PauseSource memory) {
        return PauseSource(account, SOURCE, paused, freshNonce(), soon());
    }

    /// @dev The next reading of the source, `wattHours` more than the last.
    function aReading(uint64 wattHours) internal view returns (Reading memory) {
        Meter memory meter = token.meterOf(SOURCE);
        return Reading(SOURCE, meter.index + 1, meter.counterWh + wattHours, uint40(time()));
    }

    function aMove(address from, address to, uint64 shares) internal returns (TransferShares memory) {
        return TransferShares(from, to, SOURCE, shares, freshNonce(), soon());
    }

    /* STEPS */

    function register(RegisterSource memory m) internal {
        bytes32 hash = digest(m);
        token.registerSource(m, sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash));
    }

    function register() internal {
        register(aSource(SOURCE));
    }

    function reset(MeterReset memory m, uint256 deviceKey) internal {
        bytes32 hash = digest(m);
        token.resetMeter(m, sign(OWNER_KEY, hash), sign(deviceKey, hash), sign(REGISTRAR_KEY, hash));
    }

    function pause(uint256 key, bool paused) internal {
        PauseSource memory m = aPause(vm.addr(key), paused);
        token.pauseSource(m, sign(key, digest(m)));
    }

    /// @dev Lets enough time pass for the power of the source, and a second for the meter's clock.
    function pass(uint64 wattHours) internal {
        vm.warp(time() + 1 + (uint256(wattHours) * 3600 + POWER - 1) / POWER);
    }

    function produce(uint64 wattHours) internal {
        pass(wattHours);
        Reading memory m = aReading(wattHours);
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
    }

    function move(uint256 fromKey, address to, uint64 shares) internal {
        TransferShares memory m = aMove(vm.addr(fromKey), to, shares);
        token.transferShares(m, sign(fromKey, digest(m)));
    }

    function claim(address account) internal returns (uint256) {
        return token.claimEnergy(ClaimEnergy(account, SOURCE));
    }

    /* PACKED READINGS */

    function pack(Reading memory m, bytes memory signature) internal pure returns (bytes memory) {
        bytes memory head = abi.encodePacked(m.source, m.index, m.counterWh, m.meterTime);
        if (signature.length == 65) return abi.encodePacked(head, signature);
        bytes memory point = new bytes(64);
        bytes memory rs = new bytes(64);
        for (uint256 i; i < 64; ++i) {
            (rs[i], point[i]) = (signature[i], signature[64 + i]);
        }
        return abi.encodePacked(head, rs, uint8(0), point);
    }

    function refusal(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, SOURCE);
    }
}
