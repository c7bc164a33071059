// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../EnergyBase.sol";

/// @dev Does what a community does and what its enemies try, and keeps its own books. Every call must succeed, so what
/// has to fail is tried inside and checked.
contract EnergyHandler is EnergyBase {
    uint64 public constant SOURCES = 3;
    uint256 public constant HOLDERS = 4;

    /// @dev Watt-hours of accepted readings, by the handler's own books.
    mapping(uint64 source => uint256) public accepted;
    mapping(uint64 source => uint256) private _deviceKey;
    bytes[] private _done;

    constructor(IEnergy token_) {
        token = token_;
        for (uint64 i; i < SOURCES; ++i) {
            RegisterSource memory m = aSource(i);
            // The last one begins without shares.
            m.shares = i + 1 == SOURCES ? 0 : uint64(7 + i * 999_983);
            register(m);
            _deviceKey[i] = DEVICE_KEY;
        }
    }

    function holderKey(uint256 i) public pure returns (uint256) {
        return i % HOLDERS == 0 ? OWNER_KEY : 0x1000 + i % HOLDERS;
    }

    function holderAt(uint256 i) public pure returns (address) {
        return vm.addr(holderKey(i));
    }

    /* WHAT HAPPENS */

    function readMeter(uint64 source, uint32 wattHours) external {
        Reading memory m = next(source %= SOURCES, wattHours);
        bytes memory data = abi.encodeCall(token.mintReading, (m, sign(_deviceKey[source], digest(m))));
        if (token.meterOf(source).pauses != 0) return mustFail(data);
        mustPass(data);
        accepted[source] += wattHours;
    }

    /// @dev A reading of each source, one of them spoilt: the others count.
    function produceBatch(uint16[3] memory wattHours, uint64 spoilt) external {
        bytes memory all;
        vm.warp(time() + 1 days);
        for (uint64 source; source < SOURCES; ++source) {
            Meter memory meter = token.meterOf(source);
            uint32 index = source == spoilt % (SOURCES + 1) ? 0 : meter.index + 1;
            Reading memory m = Reading(source, index, meter.counterWh + wattHours[source], uint40(time()));
            all = bytes.concat(all, pack(m, sign(_deviceKey[source], digest(m))));
            if (index != 0 && meter.pauses == 0) accepted[source] += wattHours[source];
        }
        token.submitReadings(bytes.concat(all, all)); // the second time round counts for nothing
    }

    function claimOne(uint64 source, uint256 who) external {
        address account = holderAt(who);
        uint256 told = token.claimable(source % SOURCES, account);
        check(token.claimEnergy(ClaimEnergy(account, source % SOURCES)) == told, "as told");
    }

    function claimAll(uint256 who) external {
        token.claimMany(token.sources(), holderAt(who));
    }

    function moveShares(uint64 source, uint256 from, uint256 to, uint64 shares) external {
        source %= SOURCES;
        uint256 held = token.balanceOf(holderAt(from), source);
        TransferShares memory m = TransferShares(
            holderAt(from), holderAt(to), source, uint64(bound(shares, 0, held)), freshNonce(), soon()
        );
        once(abi.encodeCall(token.transferShares, (m, sign(holderKey(from), digest(m)))));
    }

    function moveEnergy(uint256 from, uint256 to, uint256 value) external {
        value = bound(value, 0, token.balanceOf(holderAt(from)));
        vm.prank(holderAt(from));
        token.transfer(holderAt(to), value);
    }

    function issueShares(uint64 shares) external {
        uint64 source = SOURCES - 1;
        IssueShares memory m = IssueShares(owner, source, uint64(bound(shares, 1, 1e12)), freshNonce(), soon());
        bytes memory data = abi.encodeCall(token.issueShares, (m, sign(OWNER_KEY, digest(m))));
        if (token.sourceOf(source).shares == 0) once(data);
        else mustFail(data);
    }

    function pauseSource(uint64 source, bool paused, bool byRegistrar) external {
        uint256 key = byRegistrar ? REGISTRAR_KEY : OWNER_KEY;
        PauseSource memory m = PauseSource(vm.addr(key), source % SOURCES, paused, freshNonce(), soon());
        once(abi.encodeCall(token.pauseSource, (m, sign(key, digest(m)))));
    }

    function resetMeter(uint64 source, uint32 rest, uint64 start, bool otherKey) external {
        source %= SOURCES;
        Meter memory meter = token.meterOf(source);
        pass(rest);
        uint256 key = otherKey ? NEW_DEVICE_KEY : DEVICE_KEY;
        MeterReset memory m = MeterReset(
            source, owner, vm.addr(key), meter.index, meter.counterWh + rest, start % 1e12, POWER, freshNonce(), soon()
        );
        bytes32 hash = digest(m);
        once(abi.encodeCall(token.resetMeter, (m, sign(OWNER_KEY, hash), sign(key, hash), sign(REGISTRAR_KEY, hash))));
        _deviceKey[source] = key;
        accepted[source] += rest;
    }

    /* WHAT ENEMIES TRY */

    /// @dev A nonce is used once, a reading counts once: whatever was done cannot be done again.
    function replay(uint256 which) external {
        if (_done.length != 0) mustFail(_done[which % _done.length]);
    }

    function mintByStranger(uint64 source, uint32 wattHours, uint256 key) external {
        source %= SOURCES;
        key = bound(key, 1, 1_000);
        if (vm.addr(key) == vm.addr(_deviceKey[source])) return;
        Reading memory m = next(source, wattHours);
        mustFail(abi.encodeCall(token.mintReading, (m, sign(key, digest(m)))));
    }

    function mintMoreThanPower(uint64 source, uint64 more) external {
        Reading memory m = next(source %= SOURCES, 0);
        uint256 elapsed = time() - token.meterOf(source).seenAt;
        m.counterWh += uint64(uint256(POWER) * elapsed / 3600) + uint64(bound(more, 1, 1e15));
        mustFail(abi.encodeCall(token.mintReading, (m, sign(_deviceKey[source], digest(m)))));
    }

    function mintBackwards(uint64 source, uint64 less) external {
        Reading memory m = next(source %= SOURCES, 0);
        if (m.counterWh == 0) return;
        m.counterWh -= uint64(bound(less, 1, m.counterWh));
        mustFail(abi.encodeCall(token.mintReading, (m, sign(_deviceKey[source], digest(m)))));
    }

    function settleOthers(uint64 source, uint256 from, uint256 to) external {
        vm.prank(stranger);
        token.transferFrom(holderAt(from), holderAt(to), source % SOURCES, 0);
    }

    /* HELPERS */

    function next(uint64 source, uint64 wattHours) private returns (Reading memory) {
        pass(wattHours);
        Meter memory meter = token.meterOf(source);
        uint40 time = uint40(time()) > meter.meterTime ? uint40(time()) : meter.meterTime + 1;
        return Reading(source, meter.index + 1, meter.counterWh + wattHours, time);
    }

    function once(bytes memory data) private {
        mustPass(data);
        _done.push(data);
    }

    function mustPass(bytes memory data) private {
        (bool ok, bytes memory reason) = address(token).call(data);
        if (!ok) {
            assembly {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    function mustFail(bytes memory data) private {
        (bool ok,) = address(token).call(data);
        check(!ok, "must fail");
    }
}
