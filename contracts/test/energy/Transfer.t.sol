// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: ERC-20 with permit, 6 decimals (1 mWh).
contract TransferTest is EnergyBase {
    function setUp() public override {
        super.setUp();
        register();
        produce(1_000);
        move(OWNER_KEY, holder, SHARES / 2);
        produce(1_000);
        claim(holder);
    }

    function test_whatItIs() public view {
        check(token.decimals() == 6 && keccak256(bytes(token.symbol())) == keccak256("kWh"), "metadata");
        (, string memory name, string memory version, uint256 chain, address place,,) = token.eip712Domain();
        check(keccak256(bytes(name)) == keccak256("Wattpact EnergyToken"), "ERC-5267 name");
        check(keccak256(bytes(version)) == keccak256("1") && chain == block.chainid && place == address(token), "rest");
        check(token.DOMAIN_SEPARATOR() == domainOf("Wattpact EnergyToken", address(token)), "domain");
    }

    function test_supplyIsBalancesAndWhatIsClaimable() public view {
        check(token.totalSupply() == 2_000_000, "produced");
        uint256 balances = token.balanceOf(owner) + token.balanceOf(holder);
        check(balances + token.claimable(SOURCE, owner) == 2_000_000, "sums up");
    }

    function test_transfers() public {
        vm.prank(holder);
        token.transfer(stranger, 200_000);
        vm.prank(holder);
        token.approve(stranger, 100_000);
        vm.prank(stranger);
        token.transferFrom(holder, owner, 100_000);
        check(token.balanceOf(holder) == 200_000 && token.balanceOf(stranger) == 200_000, "moved");
        check(token.totalSupply() == 2_000_000, "supply stays");
        vm.prank(holder);
        token.transfer(holder, 200_000);
        check(token.balanceOf(holder) == 200_000, "to oneself");
    }

    function test_nobodySpendsWhatIsNotTheirs() public {
        vm.prank(holder);
        vm.expectRevert(
            abi.encodeWithSignature("ERC20InsufficientBalance(address,uint256,uint256)", holder, 500_000, 500_001)
        );
        token.transfer(stranger, 500_001);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSignature("ERC20InsufficientAllowance(address,uint256,uint256)", stranger, 0, 1));
        token.transferFrom(holder, stranger, 1);
    }

    function test_energyIsNotLost() public {
        address[2] memory nowhere = [address(0), address(token)];
        for (uint256 i; i < 2; ++i) {
            vm.prank(holder);
            vm.expectRevert(abi.encodeWithSignature("ERC20InvalidReceiver(address)", nowhere[i]));
            token.transfer(nowhere[i], 1);
        }
    }

    function test_permit() public {
        bytes32 hash = digestPermit(stranger, 70_000, 0, NOW + 10 days);
        (bytes32 r, bytes32 s, uint8 v) = split(sign(HOLDER_KEY, hash));
        token.permit(holder, stranger, 70_000, NOW + 10 days, v, r, s);
        check(token.allowance(holder, stranger) == 70_000 && token.nonces(holder) == 1, "allowed");
        vm.expectRevert();
        token.permit(holder, stranger, 70_000, NOW + 10 days, v, r, s);
        vm.prank(stranger);
        token.transferFrom(holder, stranger, 70_000);
        check(token.balanceOf(stranger) == 70_000, "spent");
    }

    function test_permitsOfOthersAndLateOnesAreRefused() public {
        bytes32 hash = digestPermit(stranger, 70_000, 0, NOW + 10 days);
        (bytes32 r, bytes32 s, uint8 v) = split(sign(STRANGER_KEY, hash));
        vm.expectRevert(abi.encodeWithSignature("ERC2612InvalidSigner(address,address)", stranger, holder));
        token.permit(holder, stranger, 70_000, NOW + 10 days, v, r, s);
        vm.warp(NOW + 11 days);
        vm.expectRevert(abi.encodeWithSignature("ERC2612ExpiredSignature(uint256)", NOW + 10 days));
        token.permit(holder, stranger, 70_000, NOW + 10 days, v, r, s);
    }

    /// @dev Nobody has a way to make or end energy by ERC-20 calls, whatever the amounts.
    function testFuzz_transfersKeepTheSum(uint256 a, uint256 b, bool back) public {
        a = bound(a, 0, 500_000);
        vm.prank(holder);
        token.transfer(stranger, a);
        vm.prank(back ? stranger : holder);
        try token.transfer(owner, b) { } catch { }
        uint256 sum = token.balanceOf(owner) + token.balanceOf(holder) + token.balanceOf(stranger);
        check(sum == 1_500_000 && token.totalSupply() == 2_000_000, "kept");
    }
}
