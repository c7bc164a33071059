// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./NetBase.sol";

/// @dev Who may have signed the request behind a line, where the chain verifies P-256: the debtor, or a key of either
/// curve that stands for it, never a key of P-256 that merely has the debtor's address.
///
/// forge-config: default.evm_version = "osaka"
/// forge-config: long.evm_version = "osaka"
contract LineKeysTest is NetBase {
    uint256 private constant P256_KEY = 0xF1D0;

    function voidSecond() private {
        bytes32[] memory to = path(1);
        Line memory line = lines[1];
        net.voidNet(operator, TODAY, settled, debits, line, to);
    }

    function settleLines() private {
        (bytes memory d, bytes memory c) = usual();
        settle(rootOf(), d, c);
    }

    /// @dev Such an account has given no mandate; what it gets is that the batch is void.
    function test_attack_aP256KeyIsNoAccount() public {
        address account = p256Address(P256_KEY);
        lines.push(aLine(2_000, 400, seller));
        lines.push(aLine(1_000, 200, third));
        token.mint(address(this), 1);
        token.approve(address(net), 1);
        net.depositFor(operator, account, 1);
        lines[1].request.account = account;
        lines[1].signature = signP256(P256_KEY, digest(lines[1].request));
        settleLines();
        voidSecond();
        expectState(TODAY, NetState.Void, 0);
        check(balance(buyer) == 10_000 && balance(account) == 1_001, "given back, and the deposit to whom it was done");
    }

    function test_aP256DelegateBindsItsDebtor() public {
        vm.prank(buyer);
        anchors.delegate(Delegate(buyer, p256Address(P256_KEY), 1, NOW + 10, freshNonce(), soon()), "");
        lines.push(aLine(2_000, 400, seller));
        lines.push(aLine(1_000, 200, third));
        lines[1].signature = signP256(P256_KEY, digest(lines[1].request));
        settleLines();
        bytes32[] memory to = path(1);
        Line memory line = lines[1];
        vm.expectRevert(MarketErrors.LineSound.selector);
        net.voidNet(operator, TODAY, settled, debits, line, to);
    }
}
