// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: ClaimEnergy, by anybody for the holder. market-and-settlement.md 5a: remainders kept.
contract ClaimEnergyTest is EnergyBase {
    event Transfer(address indexed from, address indexed to, uint256 value);

    function setUp() public override {
        super.setUp();
        register();
    }

    function test_aClaimPaysTheHolderWhoeverBringsIt() public {
        produce(100);
        vm.expectEmit(address(token));
        emit Transfer(address(0), owner, 100_000);
        vm.prank(stranger);
        check(claim(owner) == 100_000, "paid");
        check(token.balanceOf(owner) == 100_000 && token.balanceOf(stranger) == 0, "to the holder");
        check(claim(owner) == 0 && token.balanceOf(owner) == 100_000, "once");
        check(token.totalSupply() == 100_000, "a claim makes nothing");
    }

    function test_whoHasNoSharesGetsNothing() public {
        produce(100);
        check(claim(stranger) == 0 && token.claimable(SOURCE, stranger) == 0, "nothing");
        check(token.positionOf(SOURCE, stranger).paid == 0, "no slot written");
        check(token.claimEnergy(ClaimEnergy(owner, 99)) == 0, "no such source");
    }

    function test_claimableIsWhatAClaimPays() public {
        move(OWNER_KEY, holder, 333_333);
        for (uint64 i; i < 7; ++i) {
            produce(11 + i);
            uint256 expected = token.claimable(SOURCE, holder);
            check(claim(holder) == expected, "told before");
        }
    }

    /// @dev One share of three: a third of a unit each time, and nothing is lost by claiming between.
    function test_remaindersAreKept() public {
        RegisterSource memory s = aSource(8);
        s.shares = 3;
        register(s);
        TransferShares memory t = TransferShares(owner, holder, 8, 1, freshNonce(), soon());
        token.transferShares(t, sign(OWNER_KEY, digest(t)));
        for (uint32 i = 1; i <= 9; ++i) {
            vm.warp(time() + 60);
            Reading memory m = Reading(8, i, INITIAL + i, uint40(time()));
            token.mintReading(m, sign(DEVICE_KEY, digest(m)));
            token.claimEnergy(ClaimEnergy(holder, 8));
        }
        check(token.balanceOf(holder) >= 2_999, "a third of 9,000, but for dust");
        token.claimEnergy(ClaimEnergy(owner, 8));
        check(token.balanceOf(holder) + token.balanceOf(owner) >= 8_998, "dust at most a unit a holder");
    }

    /// @dev The griefing lever that the remainders take away: claiming for others after every reading.
    function testFuzz_claimingOftenCostsTheHolderNothing(uint64 part, uint16[4] memory steps) public {
        move(OWNER_KEY, holder, uint64(bound(part, 1, SHARES - 1)));
        uint256 state = vm.snapshotState();
        for (uint256 i; i < steps.length; ++i) {
            produce(steps[i]);
        }
        uint256 patient = claim(holder);
        vm.revertToState(state);
        for (uint256 i; i < steps.length; ++i) {
            produce(steps[i]);
            vm.prank(stranger);
            claim(holder);
        }
        check(token.balanceOf(holder) == patient, "the same to the unit");
    }

    function testFuzz_theIdentityHolds(uint64 part, uint32[4] memory steps, uint8 claims) public {
        move(OWNER_KEY, holder, uint64(bound(part, 0, SHARES)));
        for (uint256 i; i < steps.length; ++i) {
            produce(steps[i] % 1_000_000);
            if (claims & 1 << i != 0) claim(i % 2 == 0 ? owner : holder);
        }
        Source memory s = token.sourceOf(SOURCE);
        uint256 right = (token.balanceOf(owner) + token.balanceOf(holder)) << 64;
        for (uint256 i; i < 2; ++i) {
            Position memory p = token.positionOf(SOURCE, i == 0 ? owner : holder);
            right += uint256(p.shares) * (s.accumulated - p.paid) + p.remainder;
        }
        check(token.produced(SOURCE) << 64 == right + s.carry, "exact");
    }
}
