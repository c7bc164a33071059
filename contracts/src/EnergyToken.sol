// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20, ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import { EnergyShares, Word } from "./base/EnergyShares.sol";
import { Messenger } from "./base/Messenger.sol";
import {
    ClaimEnergy,
    IEnergyToken,
    IssueShares,
    Meter,
    MeterReset,
    PauseSource,
    Reading,
    RegisterSource,
    Source,
    TransferShares
} from "./interfaces/IEnergyToken.sol";
import { Accumulator } from "./libraries/Accumulator.sol";
import { CommonErrors } from "./libraries/CommonErrors.sol";
import { CommonEvents } from "./libraries/CommonEvents.sol";
import { READING_GAS_LEFT } from "./libraries/EnergyConstants.sol";
import { EnergyErrors } from "./libraries/EnergyErrors.sol";
import { EnergyEvents } from "./libraries/EnergyEvents.sol";
import { EnergyMessages } from "./libraries/EnergyMessages.sol";
import { Meters } from "./libraries/Meters.sol";
import { P256 } from "./libraries/P256.sol";
import { Signers } from "./libraries/Signers.sol";

/// @title EnergyToken
/// @notice See {IEnergyToken}.
/// @dev The compiler looks functions up one after the other in the order of their selectors, 22 gas each. The names of
/// what is called all day long (`submitReadings`, `mintReading`, `claimEnergy`) were chosen with an eye to that.
contract EnergyToken is EnergyShares, Messenger {
    /// @dev What a reading does not need of a source.
    struct Record {
        address owner;
        uint64 initialCounter;
        address device;
        uint64 earlierWh;
    }

    uint8 private constant BY_OWNER = 1;
    uint8 private constant BY_REGISTRAR = 2;
    // Used in `submitReadings`, in the bound of a slice, where Slither does not look.
    // slither-disable-next-line unused-state
    uint256 private constant HEAD_SIZE = 25;
    uint256 private constant READING_SIZE = 90;
    uint256 private constant P256_READING_SIZE = 154;

    /// @inheritdoc IEnergyToken
    address public immutable registrar;

    /// @inheritdoc IEnergyToken
    bool public immutable verifiesP256;

    mapping(uint64 source => Record) private _records;

    /// @dev The device is part of the key: a signature leads to the meter of whoever made it, or to nothing. So a
    /// reading need not look up whose it should be.
    mapping(uint64 source => mapping(address device => Word)) private _meters;

    uint64[] private _sources;

    constructor(address registrar_) ERC20("Wattpact EnergyToken", "kWh") ERC20Permit("Wattpact EnergyToken") {
        if (registrar_ == address(0)) revert CommonErrors.ZeroAddress();
        registrar = registrar_;
        verifiesP256 = P256.isAvailable();
    }

    /* SOURCES */

    /// @inheritdoc IEnergyToken
    function registerSource(
        RegisterSource calldata m,
        bytes calldata ownerSig,
        bytes calldata deviceSig,
        bytes calldata registrarSig
    ) external {
        _requireInTime(m.deadline);
        if (m.owner == address(0) || m.device == address(0)) revert CommonErrors.ZeroAddress();
        Record storage record = _records[m.source];
        if (record.owner != address(0)) revert EnergyErrors.SourceExists(m.source);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(EnergyMessages.REGISTER_SOURCE, m)));
        _requireAll(m.source, m.owner, m.device, digest, ownerSig, deviceSig, registrarSig);

        _useNonce(m.owner, m.nonce);
        record.owner = m.owner;
        _sources.push(m.source);
        _setMeter(record, m.source, m.device, Meter(m.initialCounter, 0, 0, 0, m.maxPowerW, 0));
        if (m.shares != 0) _issue(m.source, m.owner, m.shares);

        emit EnergyEvents.SourceRegistered(m.source, m.owner, m.device, m.initialCounter, m.maxPowerW, m.shares);
    }

    /// @inheritdoc IEnergyToken
    function issueShares(IssueShares calldata m, bytes calldata sig) external {
        _ownedSource(m.source, m.owner);
        if (m.shares == 0 || Accumulator.sharesIn(_accumulatorOf(m.source)) != 0) {
            revert EnergyErrors.SharesFixed(m.source);
        }
        _accept(m.owner, EnergyMessages.ISSUE_SHARES, 5, m.deadline, sig);
        _useNonce(m.owner, m.nonce);

        _issue(m.source, m.owner, m.shares);

        emit EnergyEvents.SharesIssued(m.source, m.owner, m.shares);
    }

    /// @inheritdoc IEnergyToken
    function resetMeter(
        MeterReset calldata m,
        bytes calldata ownerSig,
        bytes calldata deviceSig,
        bytes calldata registrarSig
    ) external {
        _requireInTime(m.deadline);
        if (m.device == address(0)) revert CommonErrors.ZeroAddress();
        Record storage record = _ownedSource(m.source, m.owner);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(EnergyMessages.METER_RESET, m)));
        _requireAll(m.source, m.owner, m.device, digest, ownerSig, deviceSig, registrarSig);

        _reset(record, m);
    }

    /// @inheritdoc IEnergyToken
    function pauseSource(PauseSource calldata m, bytes calldata sig) external {
        Record storage record = _records[m.source];
        address owner = record.owner;
        if (owner == address(0)) revert EnergyErrors.SourceUnknown(m.source);
        uint8 by = (m.account == owner ? BY_OWNER : 0) | (m.account == registrar ? BY_REGISTRAR : 0);
        if (by == 0) revert EnergyErrors.NotInCharge(m.source, m.account);
        _accept(m.account, EnergyMessages.PAUSE_SOURCE, 5, m.deadline, sig);
        _useNonce(m.account, m.nonce);

        Word storage meter = _meters[m.source][record.device];
        uint8 pauses = Meters.pausesIn(meter.value);
        meter.value = Meters.withPauses(meter.value, m.paused ? pauses | by : pauses & ~by);

        emit EnergyEvents.SourcePauseSet(m.source, m.account, m.paused);
    }

    /* READINGS */

    /// @inheritdoc IEnergyToken
    function mintReading(Reading calldata m, bytes calldata sig) external {
        uint256 head = uint256(m.source) << 136 | uint256(m.index) << 104 | uint256(m.counterWh) << 40 | m.meterTime;
        bytes32 digest = EnergyMessages.readingDigest(_domainSeparatorV4(), head);
        bytes4 code = _take(head, Signers.deviceOf(digest, sig, verifiesP256));
        if (code != 0) _refuse(code, m.source);
    }

    /// @inheritdoc IEnergyToken
    function submitReadings(bytes calldata readings) external {
        bytes32 domain = _domainSeparatorV4();
        uint256 offset;
        while (offset < readings.length) {
            // Else the last readings could be made to fail for want of gas.
            if (gasleft() < READING_GAS_LEFT) revert CommonErrors.InsufficientGas(gasleft());
            if (readings.length < offset + READING_SIZE) revert EnergyErrors.TruncatedReading(offset);
            bool p256 = readings[offset + READING_SIZE - 1] == 0;
            uint256 next = offset + (p256 ? P256_READING_SIZE : READING_SIZE);
            if (readings.length < next) revert EnergyErrors.TruncatedReading(offset);
            uint256 head = uint256(bytes32(readings[offset:])) >> 56;
            bytes calldata sig = readings[offset + HEAD_SIZE:next];
            bytes32 digest = EnergyMessages.readingDigest(domain, head);
            bytes4 code = _take(head, p256 ? _p256Device(digest, sig) : Signers.deviceOf(digest, sig, false));
            if (code != 0) emit CommonEvents.Rejected(digest, code);
            offset = next;
        }
    }

    /* SHARES */

    /// @inheritdoc IEnergyToken
    function transferShares(TransferShares calldata m, bytes calldata sig) external {
        _accept(m.holder, EnergyMessages.TRANSFER_SHARES, 6, m.deadline, sig);
        _useNonce(m.holder, m.nonce);

        _transfer(m.holder, m.receiver, m.source, m.shares);
    }

    /// @inheritdoc IEnergyToken
    function claimEnergy(ClaimEnergy calldata m) external returns (uint256) {
        return _claim(m.source, m.holder);
    }

    /* VIEWS */

    /// @notice The energy produced so far by all sources, claimed or not.
    /// @dev Adds up the sources, about 7,000 gas each: a total of its own would cost every reading 5,000 gas.
    function totalSupply() public view override returns (uint256 units) {
        // A view that reads some slots for each source anyway.
        // slither-disable-next-line cache-array-length
        for (uint256 i; i < _sources.length; ++i) {
            units += produced(_sources[i]);
        }
    }

    /// @inheritdoc IEnergyToken
    function produced(uint64 source) public view returns (uint256) {
        Record storage record = _records[source];
        uint256 counter = uint64(_meters[source][record.device].value);
        return (record.earlierWh + counter - record.initialCounter) * Meters.UNITS_PER_WH;
    }

    /// @inheritdoc IEnergyToken
    function sourceOf(uint64 source) external view returns (Source memory made) {
        Record storage record = _records[source];
        uint256 word = _accumulatorOf(source);
        (made.owner, made.device) = (record.owner, record.device);
        (made.initialCounter, made.earlierWh) = (record.initialCounter, record.earlierWh);
        made.shares = Accumulator.sharesIn(word);
        made.carry = Accumulator.remainderIn(word);
        if (made.shares != 0) made.accumulated = Accumulator.highIn(word);
        else made.pending = uint64(Accumulator.highIn(word));
    }

    /// @inheritdoc IEnergyToken
    function meterOf(uint64 source) external view returns (Meter memory) {
        return Meters.unpack(_meters[source][_records[source].device].value);
    }

    /// @inheritdoc IEnergyToken
    function sources() external view returns (uint64[] memory) {
        return _sources;
    }

    /* INTERNAL */

    /// @dev Takes a packed reading that a device signed, or returns the selector of what is wrong and changes nothing.
    function _take(uint256 head, address device) private returns (bytes4) {
        uint64 source = uint64(head >> 136);
        Word storage meter = _meters[source][device];
        (uint256 next, uint64 units, bytes4 code) = Meters.advance(meter.value, head);
        if (code != 0) return code;
        if (!_produce(source, units)) return EnergyErrors.TooMuchEnergy.selector;
        meter.value = next;

        emit EnergyEvents.Produced(source, uint32(head >> 104), uint64(head >> 40), uint40(head));
        return 0;
    }

    /// @dev The device behind `r | s | 0 | x | y`.
    function _p256Device(bytes32 digest, bytes calldata sig) private view returns (address) {
        (bytes32 x, bytes32 y) = (bytes32(sig[65:]), bytes32(sig[97:]));
        bool valid = verifiesP256 && P256.verify(digest, bytes32(sig), bytes32(sig[32:]), x, y);
        return valid ? P256.addressOf(x, y) : address(0);
    }

    /// @dev Ends a meter, with what it counted after its last reading, and begins another. The old one's power bounds
    /// that like any reading.
    function _reset(Record storage record, MeterReset calldata m) private {
        address device = record.device;
        uint256 word = _meters[m.source][device].value;
        Meter memory meter = Meters.unpack(word);
        if (m.index < meter.index) revert EnergyErrors.IndexNotNewer(m.source);
        if (m.oldFinal < meter.counterWh) revert EnergyErrors.CounterDecreased(m.source);
        (uint64 units, bytes4 code) = Meters.gain(word, m.oldFinal);
        if (code != 0) _refuse(code, m.source);

        _useNonce(m.owner, m.nonce);
        if (!_produce(m.source, units)) revert EnergyErrors.TooMuchEnergy(m.source);
        record.earlierWh += m.oldFinal - record.initialCounter;
        delete _meters[m.source][device];
        // Above `index`, so that no reading under the old counter is taken for one under the new. What is paused stays so.
        (meter.counterWh, meter.index, meter.maxPowerW) = (m.newInitial, m.index, m.maxPowerW);
        _setMeter(record, m.source, m.device, meter);

        emit EnergyEvents.MeterWasReset(m.source, m.device, m.index, m.oldFinal, m.newInitial, m.maxPowerW);
    }

    function _ownedSource(uint64 source, address owner) private view returns (Record storage record) {
        record = _records[source];
        if (record.owner == address(0)) revert EnergyErrors.SourceUnknown(source);
        if (record.owner != owner) revert EnergyErrors.NotSourceOwner(source, owner);
    }

    function _requireAll(
        uint64 source,
        address owner,
        address device,
        bytes32 digest,
        bytes calldata ownerSig,
        bytes calldata deviceSig,
        bytes calldata registrarSig
    ) private view {
        Signers.requireSigned(owner, digest, ownerSig);
        if (Signers.deviceOf(digest, deviceSig, verifiesP256) != device) revert EnergyErrors.NotTheDevice(source);
        Signers.requireSigned(registrar, digest, registrarSig);
    }

    /// @dev The clocks of a new meter start now: nothing from before counts.
    function _setMeter(Record storage record, uint64 source, address device, Meter memory meter) private {
        (meter.meterTime, meter.seenAt) = (uint40(block.timestamp), uint40(block.timestamp));
        record.device = device;
        record.initialCounter = meter.counterWh;
        _meters[source][device].value = Meters.pack(meter);
    }

    /// @dev The error behind the code of a refused reading.
    function _refuse(bytes4 code, uint64 source) private pure {
        if (code == EnergyErrors.SourcePaused.selector) revert EnergyErrors.SourcePaused(source);
        if (code == EnergyErrors.IndexNotNewer.selector) revert EnergyErrors.IndexNotNewer(source);
        if (code == EnergyErrors.MeterTimeOutOfRange.selector) revert EnergyErrors.MeterTimeOutOfRange(source);
        if (code == EnergyErrors.CounterDecreased.selector) revert EnergyErrors.CounterDecreased(source);
        if (code == EnergyErrors.PowerExceeded.selector) revert EnergyErrors.PowerExceeded(source);
        if (code == EnergyErrors.TooMuchEnergy.selector) revert EnergyErrors.TooMuchEnergy(source);
        revert EnergyErrors.NotTheDevice(source);
    }

    function _structHash(bytes calldata call) internal pure override returns (bytes32) {
        (bytes32 typeHash, uint256 words) = EnergyMessages.typeOf(bytes4(call[:4]));
        return words == 0 ? bytes32(0) : _hashWords(typeHash, call, words);
    }
}
