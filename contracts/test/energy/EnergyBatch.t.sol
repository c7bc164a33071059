// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { HeavyWallet } from "../mocks/Wallets.sol";
import "./EnergyBase.sol";

/// @dev contracts.md, rules for all messages: a batch of messages of many signers.
contract EnergyBatchTest is EnergyBase {
    function setUp() public override {
        super.setUp();
        register();
    }

    function moveCall(TransferShares memory m, bytes memory sig) private view returns (bytes memory) {
        return abi.encodeCall(token.transferShares, (m, sig));
    }

    function one(bytes memory item) private pure returns (bytes[] memory items) {
        items = new bytes[](1);
        items[0] = item;
    }

    function test_messagesOfAllKinds() public {
        bytes[] memory items = new bytes[](7);
        RegisterSource memory s = aSource(8);
        s.shares = 0;
        bytes32 hash = digest(s);
        items[0] = abi.encodeCall(
            token.registerSource, (s, sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash))
        );
        IssueShares memory i = IssueShares(owner, 8, 100, freshNonce(), soon());
        items[1] = abi.encodeCall(token.issueShares, (i, sign(OWNER_KEY, digest(i))));
        pass(10);
        Reading memory r = aReading(10);
        items[2] = abi.encodeCall(token.mintReading, (r, sign(DEVICE_KEY, digest(r))));
        items[3] = abi.encodeCall(token.claimEnergy, (ClaimEnergy(owner, SOURCE)));
        TransferShares memory t = aMove(owner, holder, 5);
        items[4] = moveCall(t, sign(OWNER_KEY, digest(t)));
        PauseSource memory p = aPause(owner, true);
        items[5] = abi.encodeCall(token.pauseSource, (p, sign(OWNER_KEY, digest(p))));
        MeterReset memory m = aReset(device);
        (m.index, m.oldFinal) = (r.index, r.counterWh);
        hash = digest(m);
        items[6] = abi.encodeCall(
            token.resetMeter, (m, sign(OWNER_KEY, hash), sign(DEVICE_KEY, hash), sign(REGISTRAR_KEY, hash))
        );
        bytes32[7] memory digests =
            [digest(s), digest(i), digest(r), digest(ClaimEnergy(owner, SOURCE)), digest(t), digest(p), digest(m)];
        for (uint256 k; k < 7; ++k) {
            check(token.digestOf(items[k]) == digests[k], "digest");
        }
        vm.prank(stranger);
        token.batch(items);
        check(token.balanceOf(owner, 8) == 100 && token.balanceOf(owner) == 10_000, "sources and claims");
        check(token.balanceOf(holder, SOURCE) == 5 && token.meterOf(SOURCE).pauses == 1, "shares and pauses");
        check(token.meterOf(SOURCE).counterWh == 0, "reset");
    }

    function test_aRefusedItemChangesNothingAndSinksNobody() public {
        bytes[] memory items = new bytes[](3);
        TransferShares memory good = aMove(owner, holder, 5);
        TransferShares memory bad = aMove(owner, holder, SHARES);
        items[0] = moveCall(good, sign(OWNER_KEY, digest(good)));
        items[1] = moveCall(bad, sign(OWNER_KEY, digest(bad)));
        TransferShares memory next = aMove(owner, holder, 6);
        items[2] = moveCall(next, sign(OWNER_KEY, digest(next)));
        vm.expectEmit(address(token));
        emit CommonEvents.Rejected(
            digest(bad), bytes4(keccak256("ERC6909InsufficientBalance(address,uint256,uint256,uint256)"))
        );
        token.batch(items);
        check(token.balanceOf(holder, SOURCE) == 11, "the others count");
        check(!token.nonceUsed(owner, bad.nonce), "and its nonce is not burnt");
        check(token.nonceUsed(owner, good.nonce) && token.nonceUsed(owner, next.nonce), "theirs are");
    }

    /// @dev What brings no message runs as it would alone, by whoever sends the batch, and is named by its hash.
    function test_otherCallsAreTheCallersOwn() public {
        token.claimEnergy(ClaimEnergy(owner, SOURCE));
        uint256 claimed = token.balanceOf(owner);
        bytes memory call = abi.encodeWithSignature("transfer(address,uint256)", holder, claimed + 1);
        check(token.digestOf(call) == keccak256(call), "by its hash");
        vm.expectEmit(address(token));
        emit CommonEvents.Rejected(
            keccak256(call), bytes4(keccak256("ERC20InsufficientBalance(address,uint256,uint256)"))
        );
        vm.prank(stranger);
        token.batch(one(call));
        check(token.balanceOf(owner) == claimed && token.balanceOf(holder) == 0, "nobody's energy but the caller's");
        vm.expectEmit(address(token));
        emit CommonEvents.Rejected(keccak256("abc"), bytes4(0));
        token.batch(one("abc"));
    }

    function test_whatCannotBeDecodedIsNamedByItsHash() public {
        bytes memory cut = abi.encodePacked(token.transferShares.selector, bytes32(uint256(1)));
        vm.expectEmit(address(token));
        emit CommonEvents.Rejected(keccak256(cut), bytes4(0));
        token.batch(one(cut));
    }

    /// @dev The caller of a batch acts in it with an empty signature, and nobody else does.
    function test_anEmptySignatureIsTheCaller() public {
        TransferShares memory m = aMove(owner, holder, 5);
        vm.prank(stranger);
        token.batch(one(moveCall(m, "")));
        check(token.balanceOf(holder, SOURCE) == 0, "not the stranger");
        vm.prank(owner);
        token.batch(one(moveCall(m, "")));
        check(token.balanceOf(holder, SOURCE) == 5, "the owner");
    }

    /// @dev contracts.md: nobody can fail an item by starving its EIP-1271 call.
    function test_anItemIsNotStarved() public {
        address wallet = address(new HeavyWallet(90_000));
        move(OWNER_KEY, wallet, 10);
        bytes memory data = abi.encodeCall(token.batch, (one(moveCall(aMove(wallet, holder, 1), "anything"))));
        uint256 taken;
        for (uint256 gas = 60_000; gas < 500_000; gas += 4_100) {
            uint256 state = vm.snapshotState();
            (bool ok,) = address(token).call{ gas: gas }(data);
            check(!ok || token.balanceOf(holder, SOURCE) == 1, "starved into a refusal");
            if (ok) ++taken;
            vm.revertToState(state);
        }
        check(taken > 0, "enough gas is enough");
    }
}
