// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { KeyWallet } from "../mocks/Wallets.sol";
import "./EnergyBase.sol";

/// @dev contracts.md, EnergyToken: both sides are settled before any share moves; ERC-6909.
contract TransferSharesTest is EnergyBase {
    event Transfer(address indexed from, address indexed to, uint256 value);

    function setUp() public override {
        super.setUp();
        register();
    }

    function test_earnedStaysEarned() public {
        produce(100);
        vm.expectEmit(address(token));
        emit Transfer(address(0), owner, 100_000);
        vm.expectEmit(address(token));
        emit IERC6909.Transfer(address(this), owner, holder, SOURCE, SHARES / 4);
        move(OWNER_KEY, holder, SHARES / 4);
        check(token.balanceOf(owner) == 100_000 && token.balanceOf(holder) == 0, "settled first");
        check(
            token.balanceOf(owner, SOURCE) == SHARES * 3 / 4 && token.balanceOf(holder, SOURCE) == SHARES / 4, "shares"
        );
        produce(100);
        check(token.claimable(SOURCE, owner) == 75_000 && token.claimable(SOURCE, holder) == 25_000, "from now on");
        move(OWNER_KEY, holder, SHARES * 3 / 4);
        check(token.balanceOf(owner) == 175_000 && token.balanceOf(holder) == 25_000, "both sides");
        produce(8);
        check(claim(holder) == 8_000 && claim(owner) == 0, "all with one");
    }

    function test_toOneself() public {
        produce(100);
        move(OWNER_KEY, owner, SHARES);
        check(token.balanceOf(owner, SOURCE) == SHARES && token.balanceOf(owner) == 100_000, "nothing made");
        produce(1);
        check(claim(owner) == 1_000, "goes on");
    }

    function test_nobodyMovesWhatIsNotTheirs() public {
        TransferShares memory m = aMove(owner, stranger, 1);
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(owner));
        token.transferShares(m, sig);
        m = aMove(owner, holder, SHARES + 1);
        sig = sign(OWNER_KEY, digest(m));
        vm.expectRevert(
            abi.encodeWithSignature(
                "ERC6909InsufficientBalance(address,uint256,uint256,uint256)", owner, SHARES, SHARES + 1, SOURCE
            )
        );
        token.transferShares(m, sig);
        m.source = 8;
        m.shares = 1;
        sig = sign(OWNER_KEY, digest(m));
        vm.expectRevert();
        token.transferShares(m, sig);
    }

    function test_nonceAndDeadline() public {
        TransferShares memory m = aMove(owner, holder, 1);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        token.transferShares(m, sig);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
        token.transferShares(m, sig);
        vm.warp(m.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
        token.transferShares(m, sig);
        check(token.balanceOf(holder, SOURCE) == 1, "once");
    }

    function test_sharesAreNotLost() public {
        address[2] memory nowhere = [address(0), address(token)];
        for (uint256 i; i < 2; ++i) {
            TransferShares memory m = aMove(owner, nowhere[i], 1);
            bytes memory sig = sign(OWNER_KEY, digest(m));
            vm.expectRevert(abi.encodeWithSignature("ERC6909InvalidReceiver(address)", nowhere[i]));
            token.transferShares(m, sig);
        }
    }

    function test_erc6909() public {
        vm.prank(owner);
        token.transfer(holder, uint256(SOURCE), 10);
        vm.prank(owner);
        token.approve(stranger, uint256(SOURCE), 5);
        vm.prank(stranger);
        token.transferFrom(owner, stranger, SOURCE, 5);
        check(token.balanceOf(stranger, SOURCE) == 5 && token.balanceOf(holder, SOURCE) == 10, "moved");
        vm.prank(stranger);
        vm.expectRevert();
        token.transferFrom(owner, stranger, SOURCE, 1);
        vm.prank(owner);
        token.setOperator(stranger, true);
        vm.prank(stranger);
        token.transferFrom(owner, stranger, SOURCE, 1);
        check(token.isOperator(owner, stranger) && token.balanceOf(stranger, SOURCE) == 6, "operator");
        check(token.supportsInterface(0x0f632fb3) && token.supportsInterface(0x01ffc9a7), "ERC-165");
    }

    /// @dev Numbers above 64 bits are no sources, whatever their low bits say.
    function test_longIdsAreNobodys() public {
        uint256 id = uint256(1) << 64 | SOURCE;
        check(token.balanceOf(owner, id) == 0, "no shares");
        produce(10);
        vm.prank(owner);
        token.transfer(holder, id, 0);
        check(token.claimable(SOURCE, owner) == 10_000, "and nothing settled");
        vm.prank(owner);
        vm.expectRevert();
        token.transfer(holder, id, 1);
    }

    /// @dev Anybody can settle anybody by moving nothing; it costs them and changes nothing.
    function testFuzz_settlingOftenLosesNothing(uint8 times, uint32 wattHours, uint64 part) public {
        part = uint64(bound(part, 1, SHARES - 1));
        move(OWNER_KEY, holder, part);
        uint256 sum;
        for (uint256 i; i < times % 12; ++i) {
            uint64 step = uint64(wattHours % (97 + i));
            produce(step);
            sum += uint256(step) * 1000;
            vm.prank(stranger);
            token.transferFrom(owner, holder, SOURCE, 0);
        }
        claim(owner);
        claim(holder);
        uint256 paid = token.balanceOf(owner) + token.balanceOf(holder);
        check(paid <= sum && sum - paid <= 2, "at most one unit a holder");
    }
}
