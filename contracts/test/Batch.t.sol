// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/interfaces/IConsentRegistry.sol";
import "../src/libraries/Constants.sol";
import { Base, CommonErrors, CommonEvents, Errors } from "./Base.sol";
import { Log } from "./Vm.sol";
import "./mocks/Wallets.sol";

contract BatchTest is Base {
    bytes32 private sid;
    bytes32 private other;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
        other = registerStream("other");
    }

    /* CALLS */

    function grantCall(Grant memory m, bytes memory sig) private view returns (bytes memory) {
        return abi.encodeCall(registry.grant, (m, sig));
    }

    function shortCall(Grant memory m, bytes memory sig) private view returns (bytes memory) {
        return abi.encodeCall(registry.grantShort, (short(m, sig), m.sids));
    }

    function goodGrant() private returns (bytes memory call, bytes32 id) {
        Grant memory m = aGrant(two(sid, other));
        id = digest(m);
        // Both forms take part in every test.
        call = m.nonce % 4 < 2 ? shortCall(m, sign(OWNER_KEY, id)) : grantCall(m, sign(OWNER_KEY, id));
        freshNonce();
    }

    function just(bytes memory call) private pure returns (bytes[] memory calls) {
        calls = new bytes[](1);
        calls[0] = call;
    }

    function rejected(bytes memory call, bytes32 hash, bytes4 code) private {
        vm.expectEmit(address(registry));
        emit CommonEvents.Rejected(hash, code);
        registry.batch(just(call));
    }

    /* ALL KINDS */

    function test_everyKindDoesWhatItsFunctionDoes() public {
        bytes[] memory items = new bytes[](10);
        RegisterStream memory r = aStream();
        r.nameHash = keccak256("third");
        items[0] = abi.encodeCall(registry.registerStream, (r, sign(OWNER_KEY, digest(r)), sign(WRITER_KEY, digest(r))));
        bytes32 third = sidOf(owner, r.nameHash);
        SetWriter memory w = SetWriter(owner, third, heir, keccak256("key"), freshNonce(), NOW);
        items[1] = abi.encodeCall(registry.setWriter, (w, sign(OWNER_KEY, digest(w)), sign(HEIR_KEY, digest(w))));
        PairDevice memory p = aPairing();
        items[2] = abi.encodeCall(
            registry.pairDevice, (p, device, SALT, sign(OWNER_KEY, digest(p)), sign(DEVICE_KEY, digest(p)))
        );
        UnpairDevice memory u = unpairing(owner, p.deviceHash);
        u.sids = one(third);
        items[3] = abi.encodeCall(registry.unpairDevice, (u, sign(OWNER_KEY, digest(u))));
        Grant memory g = aGrant(two(sid, other));
        items[4] = grantCall(g, sign(OWNER_KEY, digest(g)));
        Revoke memory v = Revoke(owner, digest(g), sid);
        items[5] = abi.encodeCall(registry.revoke, (v, sign(OWNER_KEY, digest(v))));
        RegisterKey memory k = RegisterKey(reader, digest(g), keccak256("k"), freshNonce(), NOW);
        items[6] = abi.encodeCall(registry.registerKey, (k, other, sign(READER_KEY, digest(k))));
        StreamCommit memory c = StreamCommit(sid, 1, keccak256("c"));
        items[7] = abi.encodeCall(registry.commit, (c, sign(WRITER_KEY, digest(c))));
        TransferStream memory t = aTransfer(sid, owner, heir);
        items[8] = abi.encodeCall(registry.transferStream, (t, sign(OWNER_KEY, digest(t)), sign(HEIR_KEY, digest(t))));
        Grant memory h = aGrant(other);
        items[9] = shortCall(h, sign(OWNER_KEY, digest(h)));

        vm.recordLogs();
        registry.batch(items);
        Log[] memory logs = vm.getRecordedLogs();
        check(logs.length == 11, "one event each, and one for the writer that unpairing ended");
        for (uint256 i; i < logs.length; ++i) {
            check(logs[i].topics[0] != CommonEvents.Rejected.selector, "none refused");
        }
        check(registry.streams(third).owner == owner && registry.streams(third).writer == address(0), "third");
        check(!live(digest(g), sid) && live(digest(g), other), "grant and revocation");
        check(registry.streams(sid).epoch == 1 && registry.streams(sid).owner == heir, "commit and transfer");
        check(registry.pairingOf(p.deviceHash).owner == address(0), "unpaired");
        check(live(digest(h), other), "grant in the short form");
    }

    function test_theCallerStaysTheCaller() public {
        Grant memory m = aGrant(sid);
        bytes memory item = grantCall(m, "");
        rejected(item, digest(m), CommonErrors.WrongSigner.selector);
        vm.prank(owner);
        registry.batch(just(item));
        check(live(digest(m), sid), "live");
    }

    function test_theRegistryItselfIsNobody() public {
        // A batch calls the registry; that must not make the registry a signer.
        Revoke memory m = Revoke(address(registry), keccak256("grant"), 0);
        rejected(abi.encodeCall(registry.revoke, (m, "")), digest(m), CommonErrors.WrongSigner.selector);
    }

    /* REFUSALS */

    function test_aBadItemChangesNothingAndSinksNobody() public {
        (bytes memory good, bytes32 id) = goodGrant();
        Grant memory bad = aGrant(two(sid, keccak256("nowhere")));
        bytes[] memory items = new bytes[](3);
        (items[0], items[2]) = (grantCall(bad, sign(OWNER_KEY, digest(bad))), good);
        items[1] = abi.encodeCall(registry.commit, (StreamCommit(sid, 7, 0), ""));
        vm.expectEmit(address(registry));
        emit CommonEvents.Rejected(digest(bad), Errors.StreamUnknown.selector);
        vm.expectEmit(address(registry));
        emit CommonEvents.Rejected(digest(StreamCommit(sid, 7, 0)), Errors.EpochNotNext.selector);
        registry.batch(items);
        check(live(id, sid) && live(id, other), "the good one");
        check(registry.grantOf(digest(bad), sid).reader == address(0), "no half of the bad one");
        check(!registry.nonceUsed(owner, bad.nonce), "its nonce is free");
    }

    function test_aRefusedItemMaySucceedLater() public {
        Grant memory m = aGrant(keccak256(abi.encode(block.chainid, registry, owner, keccak256("soon"))));
        bytes memory item = grantCall(m, sign(OWNER_KEY, digest(m)));
        rejected(item, digest(m), Errors.StreamUnknown.selector);
        registerStream("soon");
        registry.batch(just(item));
        check(live(digest(m), m.sids[0]), "live");
    }

    /// @dev Of every call that may be in a batch, and of two that may not.
    function selectors() private view returns (bytes4[12] memory) {
        return [
            registry.registerStream.selector,
            registry.setWriter.selector,
            registry.pairDevice.selector,
            registry.unpairDevice.selector,
            registry.grant.selector,
            registry.grantShort.selector,
            registry.revoke.selector,
            registry.registerKey.selector,
            registry.commit.selector,
            registry.transferStream.selector,
            registry.batch.selector,
            registry.revokeDirect.selector
        ];
    }

    function testFuzz_nonsenseIsRefusedByItself(uint8 kind, bytes memory noise) public {
        (bytes memory good, bytes32 id) = goodGrant();
        bytes[] memory items = new bytes[](2);
        (items[0], items[1]) = (abi.encodePacked(selectors()[bound(kind, 0, 11)], noise), good);
        vm.recordLogs();
        registry.batch(items);
        check(vm.getRecordedLogs()[0].topics[0] == CommonEvents.Rejected.selector, "refused");
        check(live(id, sid), "the other goes through");
    }

    function testFuzz_aCutMessageIsRefusedByItself(uint256 length) public {
        (bytes memory item,) = goodGrant();
        (bytes memory good, bytes32 id) = goodGrant();
        // What the encoder puts behind a signature to fill its last word is not missed.
        length = bound(length, 0, item.length - 32);
        assembly {
            mstore(item, length)
        }
        bytes[] memory items = new bytes[](2);
        (items[0], items[1]) = (item, good);
        vm.recordLogs();
        registry.batch(items);
        check(vm.getRecordedLogs()[0].topics[0] == CommonEvents.Rejected.selector, "refused");
        check(live(id, sid), "the other goes through");
    }

    function test_unreadableBytes() public {
        for (uint256 i; i < 10; ++i) {
            bytes memory call = abi.encodePacked(selectors()[i], "x");
            rejected(call, keccak256(call), 0);
        }
    }

    function test_onlyCallsThatBringAMessage() public {
        bytes[5] memory calls = [
            bytes(""),
            hex"095ea7",
            abi.encodeCall(registry.batch, (new bytes[](0))),
            abi.encodeCall(registry.revokeDirect, (keccak256("grant"), sid)),
            abi.encodeCall(registry.streams, (sid))
        ];
        for (uint256 i; i < calls.length; ++i) {
            rejected(calls[i], keccak256(calls[i]), Errors.UnknownCall.selector);
        }
    }

    function test_anEmptyBatchIsFine() public {
        registry.batch(new bytes[](0));
    }

    function test_twoRevocationsAndACommitInOneBatch() public {
        (bytes memory item, bytes32 id) = goodGrant();
        bytes[] memory items = new bytes[](3);
        Revoke memory m = Revoke(owner, id, 0);
        items[0] = abi.encodeCall(registry.revoke, (m, sign(OWNER_KEY, digest(m))));
        items[1] = item;
        items[2] = items[0];
        registry.batch(items);
        check(!live(id, sid), "void whichever comes first");
    }

    /* STARVATION */

    /// @dev Calls with every amount of gas from far too little to plenty. Whatever the amount, the batch either reverts
    /// as a whole or does not refuse the good item.
    function neverRefused(bytes[] memory items, bytes32 id, bytes32 stream, uint256 from, uint256 to) private {
        bytes memory data = abi.encodeCall(registry.batch, (items));
        bool everWorked;
        for (uint256 gas = from; gas < to; gas += (to - from) / 150) {
            uint256 state = vm.snapshotState();
            (bool ok,) = address(registry).call{ gas: gas }(data);
            bool done = live(id, stream);
            check(ok == done, "a good message was starved into a refusal");
            vm.revertToState(state);
            everWorked = everWorked || ok;
        }
        check(everWorked, "enough gas was tried");
    }

    function test_aContractsSignatureCannotBeStarved() public {
        address wallet = address(new HeavyWallet(90_000));
        RegisterStream memory s = aStream();
        s.owner = wallet;
        bytes32 own = registry.registerStream(s, "anything", sign(WRITER_KEY, digest(s)));
        Grant memory m = aGrant(own);
        m.owner = wallet;
        neverRefused(just(grantCall(m, "anything")), digest(m), own, 50_000, 500_000);
        neverRefused(just(shortCall(m, sign(STRANGER_KEY, digest(m)))), digest(m), own, 50_000, 500_000);

        // Behind an item that is refused, which returns its gas.
        bytes[] memory items = new bytes[](2);
        items[0] = abi.encodePacked(registry.grant.selector, "nonsense");
        items[1] = grantCall(m, "anything");
        neverRefused(items, digest(m), own, 50_000, 600_000);
    }

    function test_aGrantOverManyStreamsCannotBeStarved() public {
        bytes32[] memory sids = new bytes32[](20);
        for (uint256 i; i < 20; ++i) {
            sids[i] = registerStream(vm.toString(i));
        }
        Grant memory m = aGrant(sids);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        neverRefused(just(grantCall(m, sig)), digest(m), sids[19], 50_000, 1_500_000);
        neverRefused(just(shortCall(m, sig)), digest(m), sids[19], 50_000, 1_500_000);
    }

    function test_aPlainSignatureCannotBeStarved() public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        neverRefused(just(grantCall(m, sig)), digest(m), sid, 20_000, 400_000);
        neverRefused(just(shortCall(m, sig)), digest(m), sid, 20_000, 400_000);
    }

    /// @dev So many streams that hashing them takes most of the gas, and little is left for the recovery.
    function test_aPlainSignatureBehindMuchHashingCannotBeStarved() public {
        bytes32[] memory sids = new bytes32[](4000);
        sids[0] = sid;
        Grant memory m = aGrant(sids);
        bytes memory data = abi.encodeCall(registry.batch, (just(shortCall(m, sign(OWNER_KEY, digest(m))))));
        bool everJudged;
        for (uint256 gas = 240_000; gas < 900_000; gas += 2_200) {
            uint256 state = vm.snapshotState();
            vm.recordLogs();
            (bool ok,) = address(registry).call{ gas: gas }(data);
            Log[] memory logs = vm.getRecordedLogs();
            vm.revertToState(state);
            if (!ok) continue;
            everJudged = true;
            // The second stream is nobody's: that it says so shows that the signature was found good.
            check(bytes4(abi.decode(logs[0].data, (bytes32))) == Errors.StreamUnknown.selector, "starved");
        }
        check(everJudged, "enough gas was tried");
    }

    function test_theErrorSaysWhatToDo() public {
        (bytes memory item,) = goodGrant();
        (bool ok, bytes memory reason) =
            address(registry).call{ gas: 150_000 }(abi.encodeCall(registry.batch, (just(item))));
        check(!ok && bytes4(reason) == CommonErrors.InsufficientGas.selector, "named");
    }

    function test_aGreedyWalletSinksNobody() public {
        // 100,000 gas is what it can burn, and then the next one has its turn.
        address wallet = address(new HeavyWallet(1_000_000));
        Revoke memory greedy = Revoke(wallet, keccak256("grant"), 0);
        (bytes memory good, bytes32 id) = goodGrant();
        bytes[] memory items = new bytes[](2);
        (items[0], items[1]) = (abi.encodeCall(registry.revoke, (greedy, "anything")), good);
        vm.expectEmit(address(registry));
        emit CommonEvents.Rejected(digest(greedy), CommonErrors.WrongSigner.selector);
        registry.batch{ gas: 500_000 }(items);
        check(live(id, sid), "the next one");
    }
}
