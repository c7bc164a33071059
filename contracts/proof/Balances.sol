// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Balances } from "../src/libraries/Balances.sol";

/// @dev a net batch never takes more than the mandate, and each (operator, party, period) once.
contract BalancesProof {
    uint256 private constant MOST = type(uint88).max;

    function check_aDebitIsWithinMandateAndBalance(uint256 word, uint24 period, uint96 amount) public pure {
        (uint256 next, bool covered) = Balances.debited(word, period, amount);
        if (!covered) return;
        assert(amount <= word & MOST && amount <= (word >> 120) & MOST);
        assert(period <= word >> 232 && uint24(word >> 208) < period);
        assert(next & MOST == (word & MOST) - amount);
        assert(uint24(next >> 208) == period);
        // Nothing else of the member changes.
        uint256 others = ~(MOST | uint256(type(uint24).max) << 208);
        assert(next & others == word & others);
    }

    function check_aPeriodIsTakenOnce(uint256 word, uint24 period, uint24 again, uint96 amount, uint96 more)
        public
        pure
    {
        (uint256 next, bool covered) = Balances.debited(word, period, amount);
        if (!covered || again > period) return;
        (, bool twice) = Balances.debited(next, again, more);
        assert(!twice);
    }

    /// @dev What a void batch gives back is what it took.
    function check_aDebitGivenBackIsNothing(uint256 word, uint24 period, uint96 amount) public pure {
        (uint256 next, bool covered) = Balances.debited(word, period, amount);
        if (!covered) return;
        (uint256 back, bool fits) = Balances.credited(next, amount);
        assert(fits && back & MOST == word & MOST);
    }

    function check_aCreditTouchesTheBalanceOnly(uint256 word, uint256 amount) public pure {
        (uint256 next, bool fits) = Balances.credited(word, amount);
        if (!fits) return;
        assert(next >> 88 == word >> 88);
        assert(next & MOST == (word & MOST) + amount);
    }

    function check_aCreditThatFitsIsTaken(uint256 word, uint88 amount) public pure {
        (, bool fits) = Balances.credited(word, amount);
        assert(fits == ((word & MOST) + amount <= MOST));
    }
}
