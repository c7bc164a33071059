// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

// The messages. Field order is the order of the EIP-712 types in `EnergyMessages`. `nonce` is any number not used
// before by the account that the message names first, `deadline` the last second (UTC) in which it is accepted.
// Counters are watt-hours, shares are counted, tokens are milliwatt-hours. A `device` is the last 20 bytes of the
// keccak256 of its public key, on secp256k1 (its address) or on P-256 (see `Signers.deviceOf`).

/// @dev Signed by owner, device and registrar. `source` is any number not taken. The owner gets the shares; with 0 they
/// can be issued later.
struct RegisterSource {
    uint64 source;
    address owner;
    address device;
    uint64 initialCounter;
    uint48 maxPowerW;
    uint64 shares;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the owner of a source without shares.
struct IssueShares {
    address owner;
    uint64 source;
    uint64 shares;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by owner, device (the new one, or the same) and registrar. `oldFinal` settles the old counter; readings
/// then count from `newInitial` and carry an index above `index`.
struct MeterReset {
    uint64 source;
    address owner;
    address device;
    uint32 index;
    uint64 oldFinal;
    uint64 newInitial;
    uint48 maxPowerW;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the owner of the source or by the registrar. Each ends only their own pause.
struct PauseSource {
    address account;
    uint64 source;
    bool paused;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by the device. Index and time rise, so it needs neither nonce nor deadline.
struct Reading {
    uint64 source;
    uint32 index;
    uint64 counterWh;
    uint40 meterTime;
}

/// @dev Signed by the holder.
struct TransferShares {
    address holder;
    address receiver;
    uint64 source;
    uint64 shares;
    uint256 nonce;
    uint40 deadline;
}

/// @dev Signed by nobody: a claim pays the holder, whoever brings it.
struct ClaimEnergy {
    address holder;
    uint64 source;
}

/// @notice What the contract keeps of a source.
struct Source {
    /// @dev Zero: no such source.
    address owner;
    /// @dev Whose readings count.
    address device;
    /// @dev Counter from which the present meter counts.
    uint64 initialCounter;
    /// @dev Watt-hours minted from all meters before.
    uint64 earlierWh;
    /// @dev Issued shares, zero or forever the same.
    uint64 shares;
    /// @dev Token units produced while no shares were out.
    uint64 pending;
    /// @dev Earned by one share, in 2^-64 token units.
    uint128 accumulated;
    /// @dev Remainder of the division by shares.
    uint64 carry;
}

/// @notice What the contract keeps of the meter of a source: one slot, all that a reading is judged by.
struct Meter {
    uint64 counterWh;
    uint32 index;
    /// @dev Time of the last reading by the meter's clock.
    uint40 meterTime;
    /// @dev Time of the block that took the last reading.
    uint40 seenAt;
    uint48 maxPowerW;
    /// @dev 1: paused by the owner, 2: by the registrar, 3: by both.
    uint8 pauses;
}

/// @notice What the contract keeps of a holder's shares of a source: one slot.
struct Position {
    /// @dev `accumulated` of the source when the position was settled last.
    uint128 paid;
    /// @dev Earned but smaller than a token unit, in 2^-64 of it.
    uint64 remainder;
    uint64 shares;
}

/// @title Energy token of a community
/// @notice Tokens are energy that the meters of registered sources have counted. Holders of a source's shares earn its
/// production in proportion, and claim it when they like. Nobody but the registrar admits sources, and nothing but their
/// readings creates value. No owner, no upgrade, nothing payable.
/// @dev ERC-20 for the energy, ERC-6909 for the shares (id = source). `totalSupply` counts what was produced; it is in
/// no balance until it is claimed, so the sum of balances lags behind it by what is claimable.
/// @dev A signature of a device is 65 bytes `r || s || v` by secp256k1, or 128 bytes `r || s || x || y` by P-256 where
/// `verifiesP256`; all other signatures are as in {IMessenger}.
interface IEnergyToken {
    /// @notice Registers a source.
    function registerSource(
        RegisterSource calldata m,
        bytes calldata ownerSig,
        bytes calldata deviceSig,
        bytes calldata registrarSig
    ) external;

    /// @notice Issues the shares of a source that has none. What it produced so far goes to them.
    function issueShares(IssueShares calldata m, bytes calldata sig) external;

    /// @notice Starts another meter, another counter or another key. What the old counter still shows is minted.
    /// @dev A pause stays. After the theft of a key: pause, reset, end the pause.
    function resetMeter(
        MeterReset calldata m,
        bytes calldata ownerSig,
        bytes calldata deviceSig,
        bytes calldata registrarSig
    ) external;

    /// @notice Stops the readings of a source, or lets them go on.
    function pauseSource(PauseSource calldata m, bytes calldata sig) external;

    /// @notice Mints what a meter counted since its last reading.
    function mintReading(Reading calldata m, bytes calldata sig) external;

    /// @notice Mints by many readings. One that is refused emits `Rejected` and changes nothing.
    /// @param readings One after the other without gaps: `source u64 | index u32 | counterWh u64 | meterTime u40 | r |
    /// s | v u8`, with `v` 27 or 28; for a P-256 key `v = 0` and `x | y` follow. 90 or 154 bytes each.
    function submitReadings(bytes calldata readings) external;

    /// @notice Moves shares. Both sides are paid first what they have earned.
    function transferShares(TransferShares calldata m, bytes calldata sig) external;

    /// @notice Pays a holder what the shares of a source have earned. Anybody may call it.
    /// @return amount Token units paid.
    function claimEnergy(ClaimEnergy calldata m) external returns (uint256 amount);

    /// @notice The same for many sources.
    function claimMany(uint64[] calldata sources_, address holder) external returns (uint256 amount);

    /// @notice What a claim would pay now, in token units.
    function claimable(uint64 source, address holder) external view returns (uint256);

    /// @notice What a source has produced, in token units.
    function produced(uint64 source) external view returns (uint256);

    /// @notice A source; all zero where there is none.
    function sourceOf(uint64 source) external view returns (Source memory);

    /// @notice The present meter of a source; all zero where there is none.
    function meterOf(uint64 source) external view returns (Meter memory);

    /// @notice The shares of a holder.
    function positionOf(uint64 source, address holder) external view returns (Position memory);

    /// @notice The numbers of the registered sources, in the order of registration.
    function sources() external view returns (uint64[] memory);

    /// @notice Who admits sources.
    function registrar() external view returns (address);

    /// @notice Whether devices may sign by P-256: the chain had the precompile when the contract was made.
    function verifiesP256() external view returns (bool);
}
