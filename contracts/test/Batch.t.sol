// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/interfaces/IConsentRegistry.sol";
import "../src/libraries/Constants.sol";
import { Base, Errors, Events } from "./Base.sol";
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

    /* ITEMS */

    function grantItem(Grant memory m, bytes memory sig) private pure returns (Item memory) {
        return Item(KIND_GRANT, abi.encode(m), sig, "");
    }

    function goodGrant() private returns (Item memory item, bytes32 id) {
        Grant memory m = aGrant(two(sid, other));
        id = digest(m);
        item = grantItem(m, sign(OWNER_KEY, id));
    }

    function just(Item memory item) private pure returns (Item[] memory items) {
        items = new Item[](1);
        items[0] = item;
    }

    function rejected(Item memory item, bytes32 hash, bytes4 code) private {
        vm.expectEmit(address(registry));
        emit Events.Rejected(hash, code);
        registry.batch(just(item));
    }

    /* ALL KINDS */

    function test_everyKindDoesWhatItsFunctionDoes() public {
        Item[] memory items = new Item[](9);
        RegisterStream memory r = aStream();
        r.nameHash = keccak256("third");
        items[0] = Item(KIND_REGISTER_STREAM, abi.encode(r), sign(OWNER_KEY, digest(r)), sign(WRITER_KEY, digest(r)));
        bytes32 third = sidOf(owner, r.nameHash);
        SetWriter memory w = SetWriter(owner, third, heir, keccak256("key"), freshNonce(), NOW);
        items[1] = Item(KIND_SET_WRITER, abi.encode(w), sign(OWNER_KEY, digest(w)), sign(HEIR_KEY, digest(w)));
        PairDevice memory p = aPairing();
        bytes memory opened = abi.encode(p, device, SALT);
        items[2] = Item(KIND_PAIR_DEVICE, opened, sign(OWNER_KEY, digest(p)), sign(DEVICE_KEY, digest(p)));
        UnpairDevice memory u = unpairing(owner, p.deviceHash);
        u.sids = one(third);
        items[3] = Item(KIND_UNPAIR_DEVICE, abi.encode(u), sign(OWNER_KEY, digest(u)), "");
        Grant memory g = aGrant(two(sid, other));
        items[4] = grantItem(g, sign(OWNER_KEY, digest(g)));
        Revoke memory v = Revoke(owner, digest(g), sid);
        items[5] = Item(KIND_REVOKE, abi.encode(v), sign(OWNER_KEY, digest(v)), "");
        RegisterKey memory k = RegisterKey(reader, digest(g), keccak256("k"), freshNonce(), NOW);
        items[6] = Item(KIND_REGISTER_KEY, abi.encode(k, other), sign(READER_KEY, digest(k)), "");
        StreamCommit memory c = StreamCommit(sid, 1, keccak256("c"));
        items[7] = Item(KIND_STREAM_COMMIT, abi.encode(c), sign(WRITER_KEY, digest(c)), "");
        TransferStream memory t = aTransfer(sid, owner, heir);
        items[8] = Item(KIND_TRANSFER_STREAM, abi.encode(t), sign(OWNER_KEY, digest(t)), sign(HEIR_KEY, digest(t)));

        vm.recordLogs();
        registry.batch(items);
        Log[] memory logs = vm.getRecordedLogs();
        check(logs.length == 10, "one event each, and one for the writer that unpairing ended");
        for (uint256 i; i < logs.length; ++i) {
            check(logs[i].topics[0] != Events.Rejected.selector, "none refused");
        }
        check(registry.streams(third).owner == owner && registry.streams(third).writer == address(0), "third");
        check(!live(digest(g), sid) && live(digest(g), other), "grant and revocation");
        check(registry.streams(sid).epoch == 1 && registry.streams(sid).owner == heir, "commit and transfer");
        check(registry.pairingOf(p.deviceHash).owner == address(0), "unpaired");
    }

    function test_theCallerStaysTheCaller() public {
        Grant memory m = aGrant(sid);
        Item memory item = grantItem(m, "");
        rejected(item, digest(m), Errors.WrongSigner.selector);
        vm.prank(owner);
        registry.batch(just(item));
        check(live(digest(m), sid), "live");
    }

    function test_theRegistryItselfIsNobody() public {
        // A batch calls the registry; that must not make the registry a signer.
        Revoke memory m = Revoke(address(registry), keccak256("grant"), 0);
        rejected(Item(KIND_REVOKE, abi.encode(m), "", ""), digest(m), Errors.WrongSigner.selector);
    }

    /* REFUSALS */

    function test_aBadItemChangesNothingAndSinksNobody() public {
        (Item memory good, bytes32 id) = goodGrant();
        Grant memory bad = aGrant(two(sid, keccak256("nowhere")));
        Item[] memory items = new Item[](3);
        (items[0], items[2]) = (grantItem(bad, sign(OWNER_KEY, digest(bad))), good);
        items[1] = Item(KIND_STREAM_COMMIT, abi.encode(StreamCommit(sid, 7, 0)), "", "");
        vm.expectEmit(address(registry));
        emit Events.Rejected(digest(bad), Errors.StreamUnknown.selector);
        vm.expectEmit(address(registry));
        emit Events.Rejected(digest(StreamCommit(sid, 7, 0)), Errors.EpochNotNext.selector);
        registry.batch(items);
        check(live(id, sid) && live(id, other), "the good one");
        check(registry.grantOf(digest(bad), sid).reader == address(0), "no half of the bad one");
        check(!registry.nonceUsed(owner, bad.nonce), "its nonce is free");
    }

    function test_aRefusedItemMaySucceedLater() public {
        Grant memory m = aGrant(keccak256(abi.encode(block.chainid, registry, owner, keccak256("soon"))));
        Item memory item = grantItem(m, sign(OWNER_KEY, digest(m)));
        rejected(item, digest(m), Errors.StreamUnknown.selector);
        registerStream("soon");
        registry.batch(just(item));
        check(live(digest(m), m.sids[0]), "live");
    }

    function testFuzz_nonsenseIsRefusedByItself(uint8 kind, bytes memory message, bytes memory a, bytes memory b)
        public
    {
        (Item memory good, bytes32 id) = goodGrant();
        Item[] memory items = new Item[](2);
        (items[0], items[1]) = (Item(uint8(bound(kind, 0, 11)), message, a, b), good);
        vm.recordLogs();
        registry.batch(items);
        check(vm.getRecordedLogs()[0].topics[0] == Events.Rejected.selector, "refused");
        check(live(id, sid), "the other goes through");
    }

    function testFuzz_aCutMessageIsRefusedByItself(uint256 length) public {
        (Item memory item,) = goodGrant();
        (Item memory good, bytes32 id) = goodGrant();
        bytes memory message = item.message;
        length = bound(length, 0, message.length - 1);
        assembly {
            mstore(message, length)
        }
        Item[] memory items = new Item[](2);
        (items[0], items[1]) = (item, good);
        vm.recordLogs();
        registry.batch(items);
        check(vm.getRecordedLogs()[0].topics[0] == Events.Rejected.selector, "refused");
        check(live(id, sid), "the other goes through");
    }

    function test_unknownKindsAndUnreadableBytes() public {
        rejected(Item(0, "x", "", ""), keccak256("x"), Errors.UnknownKind.selector);
        rejected(Item(10, "x", "", ""), keccak256("x"), Errors.UnknownKind.selector);
        rejected(Item(KIND_GRANT, "x", "", ""), keccak256("x"), 0);
        rejected(Item(KIND_REVOKE, "x", "", ""), keccak256("x"), 0);
    }

    function test_anEmptyBatchIsFine() public {
        registry.batch(new Item[](0));
    }

    function test_twoRevocationsAndACommitInOneBatch() public {
        (Item memory item, bytes32 id) = goodGrant();
        Item[] memory items = new Item[](3);
        Revoke memory m = Revoke(owner, id, 0);
        items[0] = Item(KIND_REVOKE, abi.encode(m), sign(OWNER_KEY, digest(m)), "");
        items[1] = item;
        items[2] = items[0];
        registry.batch(items);
        check(!live(id, sid), "void whichever comes first");
    }

    /* STARVATION */

    /// @dev Calls with every amount of gas from far too little to plenty. Whatever the amount, the batch either reverts
    /// as a whole or does not refuse the good item.
    function neverRefused(Item[] memory items, bytes32 id, bytes32 stream, uint256 from, uint256 to) private {
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
        neverRefused(just(grantItem(m, "anything")), digest(m), own, 50_000, 500_000);

        // Behind an item that is refused, which returns its gas.
        Item[] memory items = new Item[](2);
        items[0] = Item(KIND_GRANT, "nonsense", "", "");
        items[1] = grantItem(m, "anything");
        neverRefused(items, digest(m), own, 50_000, 600_000);
    }

    function test_aGrantOverManyStreamsCannotBeStarved() public {
        bytes32[] memory sids = new bytes32[](20);
        for (uint256 i; i < 20; ++i) {
            sids[i] = registerStream(vm.toString(i));
        }
        Grant memory m = aGrant(sids);
        Item memory item = grantItem(m, sign(OWNER_KEY, digest(m)));
        neverRefused(just(item), digest(m), sids[19], 50_000, 1_500_000);
    }

    function test_aPlainSignatureCannotBeStarved() public {
        (Item memory item, bytes32 id) = goodGrant();
        neverRefused(just(item), id, sid, 20_000, 400_000);
    }

    function test_theErrorSaysWhatToDo() public {
        (Item memory item,) = goodGrant();
        (bool ok, bytes memory reason) =
            address(registry).call{ gas: 150_000 }(abi.encodeCall(registry.batch, (just(item))));
        check(!ok && bytes4(reason) == Errors.InsufficientGas.selector, "named");
    }

    function test_aGreedyWalletSinksNobody() public {
        // 100,000 gas is what it can burn, and then the next one has its turn.
        address wallet = address(new HeavyWallet(1_000_000));
        Revoke memory greedy = Revoke(wallet, keccak256("grant"), 0);
        (Item memory good, bytes32 id) = goodGrant();
        Item[] memory items = new Item[](2);
        (items[0], items[1]) = (Item(KIND_REVOKE, abi.encode(greedy), "anything", ""), good);
        vm.expectEmit(address(registry));
        emit Events.Rejected(digest(greedy), Errors.WrongSigner.selector);
        registry.batch{ gas: 500_000 }(items);
        check(live(id, sid), "the next one");
    }
}
