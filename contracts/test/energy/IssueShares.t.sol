// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev market-and-settlement.md 5a: while no shares are out, production waits.
contract IssueSharesTest is EnergyBase {
    function setUp() public override {
        super.setUp();
        RegisterSource memory m = aSource(SOURCE);
        m.shares = 0;
        register(m);
    }

    function issue(uint64 shares) private {
        IssueShares memory m = IssueShares(owner, SOURCE, shares, freshNonce(), soon());
        token.issueShares(m, sign(OWNER_KEY, digest(m)));
    }

    function test_productionWaitsForShares() public {
        produce(500);
        check(token.sourceOf(SOURCE).pending == 500_000 && token.totalSupply() == 500_000, "waits");
        check(token.claimable(SOURCE, owner) == 0 && claim(owner) == 0, "nobody's yet");
        issue(3);
        check(token.sourceOf(SOURCE).pending == 0, "handed out");
        check(claim(owner) == 500_000 - 1, "to the first holder, but for what does not divide");
        check(token.sourceOf(SOURCE).carry + uint256(token.positionOf(SOURCE, owner).remainder) == 1 << 64, "kept");
    }

    function test_whoClaimsTooEarlySpoilsNothing() public {
        produce(500);
        claim(owner);
        claim(stranger);
        issue(SHARES);
        move(OWNER_KEY, holder, SHARES / 2);
        check(token.balanceOf(owner) == 500_000 && claim(holder) == 0, "all to the first holder");
        check(token.positionOf(SOURCE, stranger).paid == 0, "no mark left");
    }

    function test_issuedIsIssued() public {
        issue(SHARES);
        IssueShares memory m = IssueShares(owner, SOURCE, 1, freshNonce(), soon());
        bytes memory sig = sign(OWNER_KEY, digest(m));
        vm.expectRevert(refusal(EnergyErrors.SharesFixed.selector));
        token.issueShares(m, sig);
    }

    function test_noneCannotBeIssued() public {
        IssueShares memory m = IssueShares(owner, SOURCE, 0, freshNonce(), soon());
        bytes memory sig = sign(OWNER_KEY, digest(m));
        vm.expectRevert(refusal(EnergyErrors.SharesFixed.selector));
        token.issueShares(m, sig);
    }

    function test_onlyTheOwnerIssues() public {
        IssueShares memory m = IssueShares(stranger, SOURCE, SHARES, freshNonce(), soon());
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.NotSourceOwner.selector, SOURCE, stranger));
        token.issueShares(m, sig);
        m.owner = owner;
        sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        token.issueShares(m, sig);
        m.source = 8;
        sig = sign(OWNER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.SourceUnknown.selector, 8));
        token.issueShares(m, sig);
    }

    function testFuzz_nothingWaitingIsLost(uint64 shares, uint32 wattHours) public {
        shares = uint64(bound(shares, 1, type(uint64).max));
        produce(wattHours);
        vm.expectEmit(address(token));
        emit EnergyEvents.SharesIssued(SOURCE, owner, shares);
        issue(shares);
        uint256 paid = claim(owner);
        Source memory source = token.sourceOf(SOURCE);
        uint256 rest = uint256(token.positionOf(SOURCE, owner).remainder) + source.carry;
        check((paid << 64) + rest == uint256(wattHours) * 1000 << 64, "to the last 2^-64");
    }
}
