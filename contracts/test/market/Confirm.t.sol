// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract ConfirmTest is MarketBase {
    /// @dev M-35.
    function test_M35_theSellerConfirms() public {
        bytes32 id = delivered();
        payBy(BUYER_KEY, one(id), DUE, false);
        confirmBy(SELLER_KEY, id);
        expectState(id, State.Confirmed);
    }

    function test_attack_nobodyElse() public {
        bytes32 id = delivered();
        payBy(BUYER_KEY, one(id), DUE, false);
        Confirm memory m = Confirm(buyer, operator, id, soon());
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, buyer));
        market.confirm(m, sig);
        m.account = seller;
        vm.expectRevert(wrongSigner(seller));
        market.confirm(m, sig);
    }
}
