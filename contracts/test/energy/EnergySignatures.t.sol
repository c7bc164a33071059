// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { HeavyWallet, KeyWallet, PasswordCode, PlainCode, YesWallet } from "../mocks/Wallets.sol";
import "./EnergyBase.sol";

/// @dev contracts.md, rules for all messages: who counts as having signed. Accounts: a plain key, a key with delegated
/// code (EIP-7702) that answers EIP-1271 or does not, a contract; one not deployed yet signs off chain only. Devices: a
/// key on either curve.
/// forge-config: default.evm_version = "osaka"
/// forge-config: long.evm_version = "osaka"
contract EnergySignaturesTest is EnergyBase {
    uint256 private constant P256_KEY = 0xF1D0;

    function setUp() public override {
        super.setUp();
        register();
    }

    function refused(TransferShares memory m, bytes memory sig) private {
        vm.expectRevert(wrongSigner(m.holder));
        token.transferShares(m, sig);
    }

    function sharesOf(address account) private view returns (uint256) {
        return token.balanceOf(account, SOURCE);
    }

    /* ACCOUNTS */

    function test_plainKey() public {
        TransferShares memory m = aMove(owner, holder, 1);
        bytes memory sig = sign(OWNER_KEY, digest(m));
        refused(m, malleate(sig));
        refused(m, sign(STRANGER_KEY, digest(m)));
        refused(m, "");
        token.transferShares(m, sig);
        check(sharesOf(holder) == 1, "moved");
    }

    function test_aDelegatedKeyWithout1271StillSigns() public {
        delegate(OWNER_KEY, address(new PlainCode()));
        TransferShares memory m = aMove(owner, holder, 1);
        refused(m, "password");
        token.transferShares(m, sign(OWNER_KEY, digest(m)));
        check(sharesOf(holder) == 1, "moved");
    }

    function test_aDelegatedKeyWith1271SignsEitherWay() public {
        delegate(OWNER_KEY, address(new PasswordCode()));
        TransferShares memory m = aMove(owner, holder, 1);
        token.transferShares(m, sign(OWNER_KEY, digest(m))); // the code would refuse it: the key is asked first
        m = aMove(owner, holder, 1);
        refused(m, "passw0rd");
        token.transferShares(m, "password");
        check(sharesOf(holder) == 2, "moved");
    }

    function test_aContractAccount() public {
        address wallet = address(new KeyWallet(stranger));
        move(OWNER_KEY, wallet, 10);
        TransferShares memory m = aMove(wallet, holder, 1);
        refused(m, sign(OWNER_KEY, digest(m)));
        token.transferShares(m, sign(STRANGER_KEY, digest(m)));
        check(sharesOf(holder) == 1, "moved");
        address yes = address(new YesWallet());
        move(OWNER_KEY, yes, 10);
        refused(aMove(yes, holder, 1), ""); // an empty signature is not put to code
    }

    /// @dev Before its code is there nothing speaks for the account (ERC-6492 is for off chain); afterwards the same
    /// message and signature do.
    function test_anAccountNotDeployedYet() public {
        bytes memory code = abi.encodePacked(type(KeyWallet).creationCode, abi.encode(stranger));
        address later = address(
            uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), bytes32(0), keccak256(code)))))
        );
        move(OWNER_KEY, later, 10);
        TransferShares memory m = aMove(later, holder, 1);
        bytes memory sig = sign(STRANGER_KEY, digest(m));
        refused(m, sig);
        refused(
            m, abi.encodePacked(abi.encode(address(this), code, sig), bytes32(uint256(0x6492) * (~uint256(0) / 0xffff)))
        );
        new KeyWallet{ salt: 0 }(stranger);
        check(later.code.length != 0, "there now");
        token.transferShares(m, sig);
        check(sharesOf(holder) == 1, "moved");
    }

    function test_aRegistrarByContract() public {
        token = deploy(address(new KeyWallet(registrar)));
        register();
        check(sharesOf(owner) == SHARES, "k of n, by whatever its code says");
    }

    /// @dev P-256 is for devices: an account of that address does not act by such a signature.
    function test_accountsDoNotSignByP256() public {
        address account = p256Address(P256_KEY);
        move(OWNER_KEY, account, 10);
        TransferShares memory m = aMove(account, holder, 1);
        refused(m, signP256(P256_KEY, digest(m)));
    }

    /* DEVICES */

    function p256Source() private {
        RegisterSource memory m = aSource(9);
        m.device = p256Address(P256_KEY);
        bytes32 hash = digest(m);
        token.registerSource(m, sign(OWNER_KEY, hash), signP256(P256_KEY, hash), sign(REGISTRAR_KEY, hash));
        vm.warp(NOW + 3600);
    }

    function p256Reading() private view returns (Reading memory) {
        return Reading(9, 1, INITIAL + 100, uint40(time()));
    }

    function refusedDevice(Reading memory m, bytes memory sig) private {
        vm.expectRevert(abi.encodeWithSelector(EnergyErrors.NotTheDevice.selector, m.source));
        token.mintReading(m, sig);
    }

    function test_aDeviceSignsByP256() public {
        check(token.verifiesP256(), "precompile");
        p256Source();
        Reading memory m = p256Reading();
        token.mintReading(m, signP256(P256_KEY, digest(m)));
        check(token.produced(9) == 100_000, "single");
        vm.warp(time() + 60);
        m = Reading(9, 2, INITIAL + 150, uint40(time()) + 1);
        Reading memory plain = Reading(SOURCE, 1, INITIAL + 7, uint40(time()));
        bytes memory all =
            bytes.concat(pack(m, signP256(P256_KEY, digest(m))), pack(plain, sign(DEVICE_KEY, digest(plain))));
        token.submitReadings(all);
        check(token.produced(9) == 150_000 && token.produced(SOURCE) == 7_000, "and among others in a batch");
    }

    function test_theMalleatedP256TwinIsRefused() public {
        p256Source();
        Reading memory m = p256Reading();
        bytes memory sig = signP256(P256_KEY, digest(m));
        (bytes32 r, bytes32 s) = (word(sig, 0), word(sig, 32));
        bytes memory twin = abi.encodePacked(r, bytes32(P256_ORDER - uint256(s)), word(sig, 64), word(sig, 96));
        (bool ok, bytes memory answer) = address(0x100).staticcall(abi.encodePacked(digest(m), twin));
        check(ok && answer.length == 32 && uint256(bytes32(answer)) == 1, "the precompile takes the twin");
        refusedDevice(m, twin);
        token.submitReadings(pack(m, twin));
        check(token.produced(9) == 0, "and the batch refuses it");
        token.mintReading(m, sig);
    }

    function test_otherP256SignaturesAreRefused() public {
        p256Source();
        Reading memory m = p256Reading();
        bytes memory sig = signP256(P256_KEY, digest(m));
        refusedDevice(m, signP256(P256_KEY + 1, digest(m)));
        refusedDevice(m, abi.encodePacked(word(sig, 0), word(sig, 32), word(sig, 64)));
        refusedDevice(m, abi.encodePacked(sig, uint8(0)));
        refusedDevice(m, abi.encodePacked(bytes32(0), word(sig, 32), word(sig, 64), word(sig, 96)));
        refusedDevice(m, abi.encodePacked(word(sig, 0), bytes32(0), word(sig, 64), word(sig, 96)));
        refusedDevice(m, abi.encodePacked(word(sig, 0), word(sig, 32), bytes32(0), bytes32(0)));
        refusedDevice(m, abi.encodePacked(word(sig, 0), word(sig, 32), word(sig, 96), word(sig, 64)));
        refusedDevice(m, sign(DEVICE_KEY, digest(m)));
        token.mintReading(m, sig);
    }

    function testFuzz_aFlippedBitIsRefused(uint256 where) public {
        p256Source();
        Reading memory m = p256Reading();
        bytes memory sig = signP256(P256_KEY, digest(m));
        where = bound(where, 0, 128 * 8 - 1);
        sig[where / 8] ^= bytes1(uint8(1 << (where % 8)));
        refusedDevice(m, sig);
    }

    function word(bytes memory data, uint256 offset) private pure returns (bytes32 out) {
        assembly {
            out := mload(add(add(data, 32), offset))
        }
    }
}
