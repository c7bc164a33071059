// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Entry, Grant, RegisterStream, ShortGrant } from "../src/interfaces/IConsentRegistry.sol";
import { Signers } from "../src/libraries/Signers.sol";
import { Origin, Terms } from "../src/libraries/Words.sol";
import { Base, CommonErrors, Errors } from "./Base.sol";
import { Log } from "./Vm.sol";
import "./mocks/Wallets.sol";

/// @dev {grant} from a shorter call: the same id, the same state and the same event, or a refusal.
contract GrantShortTest is Base {
    bytes private constant NONE =
        hex"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001b";
    bytes32 private sid;
    bytes32 private other;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
        other = registerStream("other");
    }

    function bring(Grant memory m, uint256 key) private returns (bytes32) {
        return registry.grantShort(short(m, sign(key, digest(m))), m.sids);
    }

    function refused(Grant memory m, bytes memory sig, bytes memory reason) private {
        vm.expectRevert(reason);
        registry.grantShort(short(m, sig), m.sids);
    }

    function testFuzz_doesWhatGrantDoes(
        address reader_,
        bytes32 keyHash,
        bytes32 textHash,
        uint40[3] memory times,
        uint32 tag,
        uint256 nonce,
        uint8 streams
    ) public {
        bytes32[] memory sids = streams % 3 == 0 ? one(sid) : streams % 3 == 1 ? one(other) : two(other, sid);
        nonce = bound(nonce, 10, type(uint256).max); // those before are used
        Grant memory m = Grant(owner, reader_, keyHash, sids, times[0], times[1], tag, textHash, nonce, times[2]);
        bytes memory sig = sign(OWNER_KEY, digest(m));

        uint256 state = vm.snapshotState();
        bytes32 long = outcome(m, abi.encodeCall(registry.grant, (m, sig)));
        vm.revertToState(state);
        check(outcome(m, abi.encodeCall(registry.grantShort, (short(m, sig), sids))) == long, "the same");
    }

    /// @dev What was returned or why it was refused, what was emitted and what is left.
    function outcome(Grant memory m, bytes memory data) private returns (bytes32) {
        vm.recordLogs();
        (bool ok, bytes memory answer) = address(registry).call(data);
        bytes32 logs = keccak256(abi.encode(vm.getRecordedLogs()));
        bytes32 id = digest(m);
        Entry[2] memory entries = [registry.grantOf(id, sid), registry.grantOf(id, other)];
        return keccak256(abi.encode(ok, answer, logs, entries, registry.nonceUsed(owner, m.nonce)));
    }

    function test_recordsAndIsLive() public {
        Grant memory m = aGrant(two(sid, other));
        check(bring(m, OWNER_KEY) == digest(m), "the id is the digest");
        check(live(digest(m), sid) && live(digest(m), other), "live");
    }

    function testFuzz_bitsThatAreNotReadMeanNothing(uint16 high, uint24 higher) public {
        Grant memory m = aGrant(sid);
        ShortGrant memory s = short(m, sign(OWNER_KEY, digest(m)));
        s.terms = Terms.wrap(Terms.unwrap(s.terms) | uint256(high) << 240);
        s.origin = Origin.wrap(Origin.unwrap(s.origin) | uint256(higher) << 232);
        check(registry.grantShort(s, m.sids) == digest(m), "the same id");
        Entry memory e = registry.grantOf(digest(m), sid);
        check(e.reader == reader && e.start == m.start && e.end == m.end && e.transfers == 0, "entry");
        check(live(digest(m), sid), "live");
    }

    function testFuzz_everyBitElseIsSigned(uint256 where) public {
        Grant memory m = aGrant(two(sid, other));
        bytes memory data = abi.encodeCall(registry.grantShort, (short(m, sign(OWNER_KEY, digest(m))), m.sids));
        where = bound(where, 4 * 8, data.length * 8 - 1);
        uint256 place = where - 4 * 8;
        vm.assume(place >= 16 && (place < 256 || place >= 256 + 24)); // the bits that are not read
        data[where / 8] ^= bytes1(uint8(1 << (7 - where % 8)));
        (bool ok,) = address(registry).call(data);
        check(!ok && !live(digest(m), sid), "refused");
    }

    function test_neverTwiceInWhateverForm() public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        bring(m, OWNER_KEY);
        bytes memory used = abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce);
        refused(m, sig, used);
        vm.expectRevert(used);
        registry.grant(m, sig);
        m = aGrant(sid);
        give(m);
        refused(m, sign(OWNER_KEY, digest(m)), abi.encodeWithSelector(CommonErrors.NonceUsed.selector, owner, m.nonce));
    }

    function test_refusesNonsense() public {
        Grant memory m = aGrant(sid);
        m.end = m.start;
        refused(m, NONE, abi.encodeWithSelector(Errors.EmptyInterval.selector, m.start, m.end));
        m = aGrant(sid);
        m.reader = address(0);
        refused(m, NONE, abi.encodeWithSelector(CommonErrors.ZeroAddress.selector));
        m = aGrant(new bytes32[](0));
        refused(m, NONE, abi.encodeWithSelector(Errors.NoStreams.selector));
        m = aGrant(two(sid, sid));
        refused(m, sign(OWNER_KEY, digest(m)), abi.encodeWithSelector(Errors.StreamTwice.selector, sid));
        m = aGrant(sid);
        m.deadline = NOW - 1;
        refused(m, NONE, abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline));
    }

    function test_onlyTheOwnerOfEveryStreamNamed() public {
        Grant memory m = aGrant(sid);
        m.owner = stranger;
        bytes memory reason = abi.encodeWithSelector(Errors.NotStreamOwner.selector, sid, stranger);
        refused(m, sign(STRANGER_KEY, digest(m)), reason);
        m = aGrant(two(sid, keccak256("nowhere")));
        reason = abi.encodeWithSelector(Errors.StreamUnknown.selector, m.sids[1]);
        refused(m, sign(OWNER_KEY, digest(m)), reason);
        check(registry.grantOf(digest(m), sid).reader == address(0), "all or nothing");
    }

    function test_notBeforeATransfer() public {
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        Grant memory m = aGrant(sid);
        (m.owner, m.start) = (heir, NOW - 1);
        bytes memory reason = abi.encodeWithSelector(Errors.StartBeforeTransfer.selector, sid, m.start, NOW);
        refused(m, sign(HEIR_KEY, digest(m)), reason);
        m.start = NOW;
        check(live(bring(m, HEIR_KEY), sid), "live");
        check(registry.grantOf(digest(m), sid).transfers == 1, "counted");
    }

    /* SIGNATURES */

    function test_nobodyElse() public {
        Grant memory m = aGrant(sid);
        refused(m, sign(READER_KEY, digest(m)), wrongSigner(owner));
        vm.prank(owner);
        refused(m, NONE, wrongSigner(owner)); // the caller counts in the long form only
    }

    function test_theMalleatedTwinIsRefused() public {
        Grant memory m = aGrant(sid);
        bytes memory twin = malleate(sign(OWNER_KEY, digest(m)));
        (bytes32 r, bytes32 s, uint8 v) = split(twin);
        check(ecrecover(digest(m), v, r, s) == owner, "the twin recovers to the owner");
        // Its s needs the bit in which v is carried, so it has no short form; what comes out recovers to another.
        refused(m, twin, wrongSigner(owner));
    }

    function test_whatRecoversToNobodyIsNotNobodysSignature() public {
        Grant memory m = aGrant(keccak256("nowhere"));
        m.owner = address(0);
        refused(m, NONE, wrongSigner(address(0)));
    }

    /// @dev The few values of s that are high and fit the form all the same. Nobody can sign a grant with one of them on
    /// purpose, so the library is asked itself.
    function testFuzz_highSIsRefused(uint256 s, bytes32 hash, bool odd) public view {
        s = bound(s, ORDER / 2 + 1, type(uint256).max >> 1);
        uint256 parity = odd ? 1 << 255 : 0;
        bytes32 r = bytes32(0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798);
        address account = ecrecover(hash, odd ? 28 : 27, r, bytes32(s));
        check(!Signers.isKeys(account, hash, r, bytes32(s | parity)), "high");
        account = ecrecover(hash, odd ? 28 : 27, r, bytes32(ORDER / 2));
        // `r` is the generator's, so two hashes make the key the point at infinity: nobody recovers, and nobody has signed.
        bool anybody = account != address(0);
        check(Signers.isKeys(account, hash, r, bytes32((ORDER / 2) | parity)) == anybody, "the largest that is low");
    }

    function test_aHashThatRecoversNobodyIsNobodys() public view {
        bytes32 r = bytes32(0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798);
        bytes32 hash = bytes32(ORDER / 2 + 1);
        check(ecrecover(hash, 28, r, bytes32(ORDER / 2)) == address(0), "infinity");
        check(!Signers.isKeys(address(0), hash, r, bytes32((ORDER / 2) | (1 << 255))), "nobody");
    }

    function test_aDelegatedKeySigns() public {
        vm.signAndAttachDelegation(address(new PlainCode()), OWNER_KEY);
        (bool done,) = owner.call("");
        check(owner.code.length == 23 && (done || !done), "delegated");
        Grant memory m = aGrant(sid);
        check(live(bring(m, OWNER_KEY), sid), "live");
        m = aGrant(sid);
        refused(m, sign(STRANGER_KEY, digest(m)), wrongSigner(owner));
    }

    function test_aContractIsAskedAboutThe65Bytes() public {
        // Both parities, so that both values of v are put together again.
        bool[2] memory seen;
        address wallet = address(new KeyWallet(stranger));
        RegisterStream memory s = aStream();
        (s.owner, s.nameHash) = (wallet, keccak256("its own"));
        bytes32 own = registry.registerStream(s, sign(STRANGER_KEY, digest(s)), sign(WRITER_KEY, digest(s)));
        for (uint256 i; i < 64 && !(seen[0] && seen[1]); ++i) {
            Grant memory m = aGrant(own);
            m.owner = wallet;
            bytes memory sig = sign(STRANGER_KEY, digest(m));
            seen[uint8(sig[64]) - 27] = true;
            check(live(registry.grantShort(short(m, sig), m.sids), own), "live");
            m = aGrant(own);
            m.owner = wallet;
            refused(m, sign(OWNER_KEY, digest(m)), wrongSigner(wallet));
        }
        check(seen[0] && seen[1], "both");
    }
}
