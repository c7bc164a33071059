// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

/// @dev contracts.md: accounts of people do not sign by P-256, keys that stand for them may. Here the chain verifies it.
///
/// forge-config: default.evm_version = "osaka"
/// forge-config: long.evm_version = "osaka"
contract OrderKeysTest is MarketBase {
    uint256 private constant P256_KEY = 0xF1D0;

    function bringOffer(bytes memory offerSig, bytes memory refusal) private {
        Match memory m = aMatch();
        bytes memory a = sign(OPERATOR_KEY, digest(m));
        bytes memory c = sign(BUYER_KEY, requestDigest(request));
        if (refusal.length != 0) vm.expectRevert(refusal);
        market.makeContract(m, offer, request, a, offerSig, c);
    }

    /// @dev Attack: an order in the name of the address that belongs to a key of P-256. No other message of such an
    /// account would count, so it could neither report, nor be paid out.
    function test_attack_aP256KeyIsNoAccount() public {
        offer.account = p256Address(P256_KEY);
        bringOffer(signP256(P256_KEY, offerDigest(offer)), wrongSigner(offer.account));
        check(market.numberOf(operator, offer.account) == 0, "nobody");
    }

    /// @dev The same key may stand for an account that says so.
    function test_aP256DelegateSignsOrders() public {
        Delegate memory m = Delegate(seller, p256Address(P256_KEY), 1, NOW + 1 days, freshNonce(), soon());
        bytes memory sig = signP256(P256_KEY, offerDigest(offer));
        bringOffer(sig, wrongSigner(seller));
        vm.prank(seller);
        anchors.delegate(m, "");
        bringOffer(sig, "");
    }

    function test_attack_theTwinOfADelegatesP256Signature() public {
        vm.prank(seller);
        anchors.delegate(Delegate(seller, p256Address(P256_KEY), 1, NOW + 1 days, freshNonce(), soon()), "");
        bytes memory sig = signP256(P256_KEY, offerDigest(offer));
        uint256 s;
        assembly {
            s := mload(add(sig, 64))
            mstore(add(sig, 64), sub(P256_ORDER, s))
        }
        bringOffer(sig, wrongSigner(seller));
    }
}
