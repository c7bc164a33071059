// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import { MarketErrors } from "../libraries/MarketErrors.sol";

/// @title A guard against being entered again
/// @dev In transient storage, which costs 200 gas. OpenZeppelin's does the same by assembly that the compiler warns of.
abstract contract Guarded {
    bool private transient _entered;

    modifier nonReentrant() {
        _enter();
        _;
        _entered = false;
    }

    function _enter() private {
        if (_entered) revert MarketErrors.Reentered();
        _entered = true;
    }
}
