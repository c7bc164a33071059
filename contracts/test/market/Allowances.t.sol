// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/interfaces/IAllowances.sol";
import "./MarketBase.sol";

/// @dev allow and fund. A-29: automatic funding is capped per day and contract, and revocable.
contract AllowancesTest is MarketBase {
    IAllowances internal allowances;

    function setUp() public override {
        super.setUp();
        allowances = IAllowances(create("Allowances.sol:Allowances", abi.encode(market)));
        token.mint(stranger, 10_000);
        vm.prank(stranger);
        token.approve(address(allowances), type(uint256).max);
        history();
    }

    function digest(Allowance memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "Allowance(address owner,address account,address operator,uint88 perDay,uint88 perContract,uint40 validUntil,uint32 nonce,uint40 deadline)"
        );
        bytes32 domain = separator(address(allowances), "Wattpact Allowances");
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(abi.encode(head, m))));
    }

    function allow(uint88 perDay, uint88 perContract, uint32 nonce) internal {
        Allowance memory m = Allowance(stranger, buyer, operator, perDay, perContract, NOW + 30 days, nonce, soon());
        allowances.allow(m, sign(STRANGER_KEY, digest(m)));
    }

    /// @dev A delivered contract of a buyer whose balance is `left`.
    function poor(uint88 left) internal returns (bytes32 id) {
        id = delivered();
        if (balance(buyer) > left) startOut(BUYER_KEY, balance(buyer) - left);
    }

    function tryFund(bytes32 id, bytes memory expected) internal {
        vm.expectRevert(expected);
        allowances.fund(stranger, operator, buyer, id);
    }

    function short_(uint256 left, uint256 needed) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(MarketErrors.AllowanceShort.selector, left, needed);
    }

    function test_A29_whatIsMissingIsDrawn() public {
        allow(1_000, 600, 1);
        bytes32 id = poor(100);
        allowances.fund(stranger, operator, buyer, id);
        check(balance(buyer) == DUE && token.balanceOf(stranger) == 9_600, "what is missing");
        check(allowances.fundingOf(stranger, operator, buyer).spent == 400, "counted");
        tryFund(id, abi.encodeWithSelector(MarketErrors.NothingToFund.selector, id));
        payBy(BUYER_KEY, one(id), DUE, false);
        tryFund(id, abi.encodeWithSelector(MarketErrors.NothingToFund.selector, id));
    }

    function test_A29_capPerContract() public {
        allow(10_000, DUE - 1, 1);
        tryFund(poor(0), short_(DUE - 1, DUE));
    }

    function test_A29_capPerDay() public {
        allow(DUE + 100, DUE, 1);
        bytes32 first = poor(0);
        allowances.fund(stranger, operator, buyer, first);
        payBy(BUYER_KEY, one(first), DUE, false);
        vm.warp(NOW);
        (offer, request) = (anOrder(seller), anOrder(buyer));
        bytes32 second = poor(0);
        tryFund(second, short_(100, DUE));
        // A new allowance is no second one on the same day.
        allow(DUE + 100, DUE, 2);
        tryFund(second, short_(100, DUE));
        pass(1 days);
        allowances.fund(stranger, operator, buyer, second);
        check(balance(buyer) == DUE, "the next day");
    }

    function test_A29_revoked() public {
        allow(1_000, 1_000, 1);
        allow(0, 0, 2);
        tryFund(poor(0), short_(0, DUE));
        Allowance memory m = Allowance(stranger, buyer, operator, 9, 9, NOW + 30 days, 2, soon());
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.Outdated.selector, 2, 2));
        allowances.allow(m, sig);
    }

    function test_A29_over() public {
        allow(1_000, 1_000, 1);
        bytes32 id = poor(0);
        vm.warp(NOW + 30 days + 1);
        tryFund(id, short_(0, DUE));
    }

    function test_attack_onlyTheOwnerAllows() public {
        Allowance memory m = Allowance(stranger, buyer, operator, 9, 9, NOW + 30 days, 2, soon());
        bytes memory forged = sign(BUYER_KEY, digest(m));
        vm.expectRevert(wrongSigner(stranger));
        allowances.allow(m, forged);
        check(allowances.market() == address(market), "market");
        bytes memory call = abi.encodeCall(IAllowances.allow, (m, ""));
        check(allowances.digestOf(call) == digest(m), "digest");
    }

    /// @dev Attack: have another's contract funded, or draw without one.
    function test_attack_onlyTheAccountsOwnContracts() public {
        allow(1_000, 1_000, 1);
        bytes32 id = poor(0);
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, seller));
        allowances.fund(stranger, operator, seller, id);
        tryFund("none", abi.encodeWithSelector(MarketErrors.NotPartner.selector, bytes32("none"), buyer));
    }
}
