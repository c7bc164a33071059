// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20Metadata } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import { IERC20Permit } from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import { Common } from "../Common.sol";

interface IDevToken is IERC20Metadata, IERC20Permit {
    function mint(address to, uint256 value) external;
}

/// @dev contracts.md, Market: `DevToken`, ERC-20 with permit for devnets.
contract DevTokenTest is Common {
    IDevToken private token;

    function setUp() public {
        vm.warp(NOW);
        token = IDevToken(create(vm.getCode("DevToken.sol:DevToken")));
    }

    function test_anybodyMakesAny() public {
        token.mint(vm.addr(1), 5);
        check(token.balanceOf(vm.addr(1)) == 5 && token.totalSupply() == 5 && token.decimals() == 6, "made");
    }

    function test_permit() public {
        token.mint(vm.addr(1), 5);
        bytes32 head = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 struct_ = keccak256(abi.encode(head, vm.addr(1), address(this), 5, 0, NOW));
        bytes32 hash = keccak256(abi.encodePacked(hex"1901", domainOf("Wattpact DevToken", address(token)), struct_));
        (bytes32 r, bytes32 s, uint8 v) = split(sign(1, hash));
        token.permit(vm.addr(1), address(this), 5, NOW, v, r, s);
        check(token.transferFrom(vm.addr(1), vm.addr(2), 5) && token.balanceOf(vm.addr(2)) == 5, "spent");
    }
}
