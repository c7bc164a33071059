// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./AnchorsBase.sol";

contract DelegateTest is AnchorsBase {
    address private key = vm.addr(DELEGATE_KEY);

    function test_aKeyStandsForAnAccountForATime() public {
        delegateTo(key, NOW + 100);
        check(anchors.isDelegate(seller, key, 1, NOW), "from now");
        check(anchors.isDelegate(seller, key, 1, NOW + 100), "until then");
        check(!anchors.isDelegate(seller, key, 1, NOW - 1) && !anchors.isDelegate(seller, key, 1, NOW + 101), "only");
        check(!anchors.isDelegate(seller, key, 2, NOW) && !anchors.isDelegate(buyer, key, 1, NOW), "of one");
    }

    function test_itIsProlongedAndEnded() public {
        delegateTo(key, NOW + 100);
        vm.warp(NOW + 50);
        delegateTo(key, NOW + 500);
        Delegation memory d = anchors.delegationOf(seller, key, 1);
        check(d.since == NOW && d.until == NOW + 500, "prolonged");
        vm.warp(NOW + 60);
        delegateTo(key, 0);
        check(anchors.isDelegate(seller, key, 1, NOW + 60), "what was signed before stays good");
        check(!anchors.isDelegate(seller, key, 1, NOW + 61), "ended");
    }

    /// @dev Attack: bring the right back, and with it what a thief signed in between.
    function test_attack_itDoesNotComeBack() public {
        delegateTo(key, NOW + 100);
        vm.warp(NOW + 101);
        Delegate memory m = Delegate(seller, key, 1, NOW + 1000, freshNonce(), soon());
        bytes memory sig = sign(SELLER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.DelegationEnded.selector, seller, key));
        anchors.delegate(m, sig);
    }

    function test_attack_replay() public {
        Delegate memory m = Delegate(seller, key, 1, NOW + 1000, freshNonce(), soon());
        bytes memory sig = sign(SELLER_KEY, digest(m));
        anchors.delegate(m, sig);
        check(anchors.nonceUsed(seller, m.nonce), "used");
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, seller, m.nonce));
        anchors.delegate(m, sig);
    }

    function test_attack_forged() public {
        Delegate memory m = Delegate(seller, key, 1, NOW + 1000, freshNonce(), soon());
        bytes memory forged = sign(DELEGATE_KEY, digest(m));
        vm.expectRevert(wrongSigner(seller));
        anchors.delegate(m, forged);
        m.key = address(0);
        bytes memory sig = sign(SELLER_KEY, digest(m));
        vm.expectRevert(CommonErrors.ZeroAddress.selector);
        anchors.delegate(m, sig);
    }
}
