// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./AllowancesBase.sol";

contract AllowTest is AllowancesBase {
    function test_A29_revoked() public {
        allow(1_000, 1_000, 1);
        allow(0, 0, 2);
        tryFund(poor(0), short_(0, DUE));
        Allowance memory m = Allowance(stranger, buyer, operator, 9, 9, NOW + 30 days, 2, soon());
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.Outdated.selector, 2, 2));
        allowances.allow(m, sig);
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
}
