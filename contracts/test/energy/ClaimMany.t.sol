// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: ClaimEnergy, for several sources at once.
contract ClaimManyTest is EnergyBase {
    function setUp() public override {
        super.setUp();
        register();
    }

    function test_claimMany() public {
        register(aSource(8));
        register(aSource(9));
        produce(100);
        Reading memory m = Reading(9, 1, INITIAL + 50, uint40(time()));
        token.mintReading(m, sign(DEVICE_KEY, digest(m)));
        uint64[] memory all = new uint64[](5);
        (all[0], all[1], all[2], all[3], all[4]) = (9, 8, SOURCE, 9, 1234);
        vm.prank(stranger);
        check(token.claimMany(all, owner) == 150_000 && token.balanceOf(owner) == 150_000, "each once");
    }
}
