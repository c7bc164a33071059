// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract DepositWithPermitTest is MarketBase {
    function permitOf(uint256 value) internal view returns (PermitSignature memory p) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                stranger,
                address(market),
                value,
                token.nonces(stranger),
                block.timestamp
            )
        );
        bytes32 hash = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash));
        (p.value, p.deadline) = (value, block.timestamp);
        (p.v, p.r, p.s) = vm.sign(STRANGER_KEY, hash);
    }

    function test_withPermit() public {
        token.mint(stranger, 100);
        Deposit memory m = aDeposit(stranger, 100);
        market.depositWithPermit(m, sign(STRANGER_KEY, digest(m)), permitOf(100));
        check(balance(stranger) == 100, "credited");
    }

    /// @dev Attack: somebody uses the permit first.
    function test_attack_aPermitUsedBeforeDoesNoHarm() public {
        token.mint(stranger, 100);
        PermitSignature memory p = permitOf(100);
        token.permit(stranger, address(market), p.value, p.deadline, p.v, p.r, p.s);
        Deposit memory m = aDeposit(stranger, 100);
        market.depositWithPermit(m, sign(STRANGER_KEY, digest(m)), p);
        check(balance(stranger) == 100, "credited");
    }
}
