// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Grant, RegisterStream, Revoke } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors } from "./Base.sol";
import "./mocks/Wallets.sol";

/// @dev contracts.md, rules for all messages: who counts as having signed. The account kinds that can act on chain are
/// a plain key, a key with delegated code (EIP-7702) that answers EIP-1271 or does not, and a contract.
contract SignaturesTest is Base {
    bytes32 private sid;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
    }

    function streamOf(address account, bytes memory sig) private returns (bytes32) {
        RegisterStream memory m = aStream();
        (m.owner, m.nameHash) = (account, keccak256("its own"));
        return registry.registerStream(m, sig, sign(WRITER_KEY, digest(m)));
    }

    function refused(Grant memory m, bytes memory sig) private {
        vm.expectRevert(wrongSigner(m.owner));
        registry.grant(m, sig);
    }

    /* PLAIN KEYS */

    function test_plainKey() public {
        Grant memory m = aGrant(sid);
        check(live(registry.grant(m, sign(OWNER_KEY, digest(m))), sid), "live");
    }

    function test_theMalleatedTwinIsRefused() public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        bytes memory twin = malleate(sig);
        (bytes32 r, bytes32 s, uint8 v) = split(twin);
        check(ecrecover(digest(m), v, r, s) == owner, "the twin recovers to the owner");
        refused(m, twin);
        registry.grant(m, sig);
    }

    function test_otherEncodingsAreRefused() public {
        Grant memory m = aGrant(sid);
        (bytes32 r, bytes32 s, uint8 v) = split(sign(OWNER_KEY, digest(m)));
        refused(m, abi.encodePacked(r, s, v - 27));
        refused(m, abi.encodePacked(r, s, v + 2));
        refused(m, abi.encodePacked(r, s));
        refused(m, abi.encodePacked(r, bytes32(uint256(s) | uint256(v - 27) << 255)));
        refused(m, abi.encodePacked(r, s, v, uint8(0)));
        refused(m, abi.encodePacked(bytes32(0), bytes32(0), v));
        refused(m, abi.encodePacked(r, bytes32(0), v));
        refused(m, new bytes(65));
    }

    function test_whatRecoversToNobodyIsNotNobodysSignature() public {
        Revoke memory m = Revoke(address(0), keccak256("grant"), sid);
        vm.expectRevert(wrongSigner(address(0)));
        registry.revoke(m, new bytes(65));
        vm.expectRevert(wrongSigner(address(0)));
        registry.revoke(m, abi.encodePacked(bytes32(uint256(1)), bytes32(uint256(1)), uint8(0)));
    }

    function testFuzz_noiseIsRefused(bytes memory noise) public {
        vm.assume(noise.length != 0);
        refused(aGrant(sid), noise);
    }

    function testFuzz_aFlippedBitIsRefused(uint256 where) public {
        Grant memory m = aGrant(sid);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        where = bound(where, 0, 65 * 8 - 1);
        sig[where / 8] ^= bytes1(uint8(1 << (where % 8)));
        refused(m, sig);
    }

    /* DELEGATED CODE */

    function test_aDelegatedKeyWithout1271StillSigns() public {
        delegate(OWNER_KEY, address(new PlainCode()));
        Grant memory m = aGrant(sid);
        check(live(registry.grant(m, sign(OWNER_KEY, digest(m))), sid), "live");
        m = aGrant(sid);
        refused(m, "password");
        refused(m, sign(STRANGER_KEY, digest(m)));
    }

    function test_aDelegatedKeyWith1271SignsEitherWay() public {
        delegate(OWNER_KEY, address(new PasswordCode()));
        Grant memory m = aGrant(sid);
        // The code would refuse this signature: the key is asked first.
        check(live(registry.grant(m, sign(OWNER_KEY, digest(m))), sid), "by key");
        m = aGrant(sid);
        check(live(registry.grant(m, "password"), sid), "by code");
        m = aGrant(sid);
        refused(m, "passw0rd");
        refused(m, sign(STRANGER_KEY, digest(m)));
    }

    /* CONTRACTS */

    function test_aContractAccount() public {
        address wallet = address(new KeyWallet(vm.addr(STRANGER_KEY)));
        RegisterStream memory s = aStream();
        s.owner = wallet;
        bytes32 own = registry.registerStream(s, sign(STRANGER_KEY, digest(s)), sign(WRITER_KEY, digest(s)));
        Grant memory m = aGrant(own);
        m.owner = wallet;
        check(live(registry.grant(m, sign(STRANGER_KEY, digest(m))), own), "live");
        m = aGrant(own);
        m.owner = wallet;
        refused(m, sign(OWNER_KEY, digest(m)));
        vm.prank(wallet);
        registry.grant(m, "");
    }

    function test_answersThatAreNotTheMagicWordAreRefused() public {
        address[4] memory wallets = [
            address(new ShortWallet()),
            address(new DirtyWallet()),
            address(new BombWallet()),
            address(new WritingWallet())
        ];
        for (uint256 i; i < wallets.length; ++i) {
            RegisterStream memory m = aStream();
            m.owner = wallets[i];
            bytes memory b = sign(WRITER_KEY, digest(m));
            vm.expectRevert(wrongSigner(wallets[i]));
            registry.registerStream(m, "anything", b);
        }
    }

    function test_anEmptySignatureIsNotPutToAContract() public {
        address wallet = address(new YesWallet());
        bytes32 own = streamOf(wallet, "anything");
        Grant memory m = aGrant(own);
        m.owner = wallet;
        refused(m, "");
    }

    function test_precompilesAndEmptyAccountsSignNothing() public {
        for (uint160 low = 1; low < 20; ++low) {
            Revoke memory m = Revoke(address(low), keccak256("grant"), 0);
            vm.expectRevert(wrongSigner(address(low)));
            registry.revoke(m, "anything");
        }
    }

    function test_theQuestionGetsAFixedAmountOfGas() public {
        address within = address(new HeavyWallet(97_000));
        address beyond = address(new HeavyWallet(101_000));
        streamOf(within, "anything");
        RegisterStream memory m = aStream();
        m.owner = beyond;
        bytes memory b = sign(WRITER_KEY, digest(m));
        vm.expectRevert(wrongSigner(beyond));
        registry.registerStream(m, "anything", b);
    }

    function test_aHugeAnswerCostsLittle() public {
        Revoke memory m = Revoke(address(new BombWallet()), keccak256("grant"), 0);
        uint256 before = gasleft();
        try registry.revoke(m, "anything") { } catch { }
        check(before - gasleft() < 130_000, "the answer is not copied");
    }

    function test_tooLittleGasIsNotAWrongSignature() public {
        address wallet = address(new HeavyWallet(90_000));
        bytes memory data = abi.encodeCall(registry.revoke, (Revoke(wallet, keccak256("grant"), 0), "anything"));
        for (uint256 gas = 40_000; gas < 260_000; gas += 1_700) {
            uint256 state = vm.snapshotState();
            (bool ok, bytes memory reason) = address(registry).call{ gas: gas }(data);
            check(ok || bytes4(reason) != CommonErrors.WrongSigner.selector, "starved into a refusal");
            vm.revertToState(state);
        }
    }
}
