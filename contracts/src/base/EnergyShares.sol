// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { ERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import { ERC6909 } from "@openzeppelin/contracts/token/ERC6909/ERC6909.sol";

import { IEnergyToken, Position } from "../interfaces/IEnergyToken.sol";
import { Accumulator } from "../libraries/Accumulator.sol";

/// @dev One slot, to be pointed at: found once, read and written.
struct Word {
    uint256 value;
}

/// @title Shares and what they earn
/// @dev ERC-20 and ERC-6909 of OpenZeppelin with the balances replaced: shares lie in settled positions, and energy
/// comes into a balance only when a position is settled. Their own balances and supply stay unused.
abstract contract EnergyShares is IEnergyToken, ERC20Permit, ERC6909 {
    /// @dev By source, as `Accumulator` lays them out.
    mapping(uint64 source => Word) private _accumulators;

    mapping(uint64 source => mapping(address holder => Word)) private _positions;

    mapping(address account => uint256 units) private _energy;

    /* CLAIMS */

    /// @inheritdoc IEnergyToken
    function claimMany(uint64[] calldata sources_, address holder) external returns (uint256 amount) {
        for (uint256 i; i < sources_.length; ++i) {
            amount += _claim(sources_[i], holder);
        }
    }

    /// @inheritdoc IEnergyToken
    function claimable(uint64 source, address holder) external view returns (uint256 credit) {
        uint256 word = _accumulators[source].value;
        if (Accumulator.sharesIn(word) == 0) return 0;
        // A view: the position stays as it is.
        // slither-disable-next-line unused-return
        (, credit) = Accumulator.settle(word, _positions[source][holder].value);
    }

    /// @inheritdoc IEnergyToken
    function positionOf(uint64 source, address holder) external view returns (Position memory) {
        uint256 word = _positions[source][holder].value;
        return Position(Accumulator.highIn(word), Accumulator.remainderIn(word), Accumulator.sharesIn(word));
    }

    /* ERC-20 AND ERC-6909 */

    /// @notice Energy is counted in milliwatt-hours: 10^6 to the kilowatt-hour.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice The energy that an account has claimed or received, and not sent on.
    function balanceOf(address account) public view override returns (uint256) {
        return _energy[account];
    }

    /// @notice The shares of a source that an account holds.
    function balanceOf(address account, uint256 id) public view override returns (uint256) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return id > type(uint64).max ? 0 : Accumulator.sharesIn(_positions[uint64(id)][account].value);
    }

    /* INTERNAL */

    function _claim(uint64 source, address holder) internal returns (uint256 credit) {
        uint256 word = _accumulators[source].value;
        Word storage position = _positions[source][holder];
        // Nobody is charged for settling nothing; a position without shares is brought up to date when it gets some.
        if (Accumulator.sharesIn(word) == 0 || Accumulator.sharesIn(position.value) == 0) return 0;
        return _settle(word, holder, position);
    }

    /// @dev Puts the first shares of a source into its owner's hands, with all that waited for them.
    function _issue(uint64 source, address owner, uint64 shares) internal {
        Word storage accumulator = _accumulators[source];
        accumulator.value = Accumulator.issue(accumulator.value, shares);
        _positions[source][owner].value = shares;
        emit Transfer(msg.sender, address(0), owner, source, shares);
    }

    /// @dev Adds production to a source.
    function _produce(uint64 source, uint64 units) internal returns (bool fits) {
        Word storage accumulator = _accumulators[source];
        uint256 word;
        (word, fits) = Accumulator.produce(accumulator.value, units);
        if (fits) accumulator.value = word;
    }

    /// @dev The word of a source: `Accumulator` tells what is in it.
    function _accumulatorOf(uint64 source) internal view returns (uint256) {
        return _accumulators[source].value;
    }

    function _settle(uint256 word, address holder, Word storage position) private returns (uint256 credit) {
        (position.value, credit) = Accumulator.settle(word, position.value);
        if (credit == 0) return 0;
        // All energy there is: a source makes less than 2^128 units, and there are fewer than 2^64 sources.
        unchecked {
            _energy[holder] += credit;
        }
        emit Transfer(address(0), holder, credit);
    }

    /// @dev ERC-20 transfers. Energy is not made or ended by any.
    function _update(address from, address to, uint256 value) internal override {
        // What this contract held could never leave it.
        if (to == address(this)) revert ERC20InvalidReceiver(to);
        uint256 balance = _energy[from];
        if (balance < value) revert ERC20InsufficientBalance(from, balance, value);
        unchecked {
            _energy[from] = balance - value;
            _energy[to] += value;
        }
        emit Transfer(from, to, value);
    }

    /// @dev ERC-6909 transfers: both sides are settled before any share moves.
    function _update(address from, address to, uint256 id, uint256 amount) internal override {
        if (to == address(this)) revert ERC6909InvalidReceiver(to);
        uint256 balance = balanceOf(from, id);
        if (balance < amount) revert ERC6909InsufficientBalance(from, balance, amount, id);
        // forge-lint: disable-next-line(unsafe-typecast)
        uint64 source = uint64(id);
        uint256 word = _accumulators[source].value;
        // Where nobody has shares, moving none is all there is to do.
        if (id <= type(uint64).max && Accumulator.sharesIn(word) != 0) {
            (Word storage sending, Word storage receiving) = (_positions[source][from], _positions[source][to]);
            _settle(word, from, sending);
            _settle(word, to, receiving);
            // Shares are the low bits of a position, and their sum is fixed.
            unchecked {
                sending.value -= amount;
                receiving.value += amount;
            }
        }
        emit Transfer(msg.sender, from, to, id, amount);
    }
}
