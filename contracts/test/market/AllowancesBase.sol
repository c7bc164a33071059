// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/interfaces/IAllowances.sol";
import "./MarketBase.sol";

/// @dev A stranger's wallet may fund the buyer's contracts.
abstract contract AllowancesBase is MarketBase {
    IAllowances internal allowances;

    function setUp() public virtual override {
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
        bytes32 domain = domainOf("Wattpact Allowances", address(allowances));
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
}
