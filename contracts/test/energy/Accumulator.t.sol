// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Accumulator } from "../../src/libraries/Accumulator.sol";
import { Common } from "../Common.sol";

/// @dev market-and-settlement.md 5a: the identity and its edges, on the words themselves.
contract AccumulatorTest is Common {
    function test_theEdgeOf128Bits() public pure {
        uint256 source = uint256(type(uint128).max - 5) << 128 | 1;
        (, bool fits) = Accumulator.produce(source, 1);
        check(!fits, "2^64 more do not fit");
        (source, fits) = Accumulator.produce(uint256(type(uint128).max - (1 << 64)) << 128 | 1, 1);
        check(fits && Accumulator.highIn(source) == type(uint128).max, "to the last");
        (, fits) = Accumulator.produce(source, 0);
        check(fits, "nothing more fits always");
    }

    function test_theEdgeOfWhatWaits() public pure {
        (uint256 source, bool fits) = Accumulator.produce(0, type(uint64).max);
        check(fits, "2^64 - 1 can wait");
        (, bool more) = Accumulator.produce(source, 1);
        check(!more, "2^64 cannot");
        source = Accumulator.issue(source, 1);
        (, uint256 credit) = Accumulator.settle(source, 1);
        check(credit == type(uint64).max, "all of it, by one share");
    }

    function test_theLargestProductOfSharesAndEnergy() public pure {
        uint64 most = type(uint64).max;
        (uint256 source, bool fits) = Accumulator.produce(most, most);
        check(fits, "fits");
        (uint256 position, uint256 credit) = Accumulator.settle(source, most);
        check(credit == most || credit + 1 == most, "all but dust");
        check(Accumulator.sharesIn(position) == most, "shares stay");
        check(
            (credit << 64) + Accumulator.remainderIn(position) + Accumulator.remainderIn(source) == uint256(most) << 64,
            "exact"
        );
        (, credit) = Accumulator.settle(uint256(type(uint128).max) << 128 | most, most);
        check(credit == (uint256(most) * type(uint128).max) >> 64, "192 bits do not wrap");
    }

    function testFuzz_exactForTwoHolders(uint64 a, uint64 b, uint64[5] memory w, uint8 when) public pure {
        a = uint64(bound(a, 1, type(uint64).max / 2));
        b = uint64(bound(b, 0, type(uint64).max / 2));
        uint256 source = uint256(a) + b;
        (uint256 first, uint256 second) = (a, b);
        (uint256 paid, uint256 sum, bool fits) = (0, 0, false);
        for (uint256 i; i < w.length; ++i) {
            w[i] >>= 3; // five of them stay below 2^64, the design's bound
            (source, fits) = Accumulator.produce(source, w[i]);
            check(fits, "within bounds");
            sum += w[i];
            uint256 credit;
            if (when & 1 << i != 0) (first, credit) = Accumulator.settle(source, first);
            paid += credit;
        }
        uint256 last;
        (first, last) = Accumulator.settle(source, first);
        paid += last;
        (second, last) = Accumulator.settle(source, second);
        paid += last;
        uint256 rest = uint256(Accumulator.remainderIn(first)) + Accumulator.remainderIn(second);
        check((sum << 64) == (paid << 64) + rest + Accumulator.remainderIn(source), "identity");
        check(sum - paid <= 2, "dust");
    }
}
