// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CommonErrors } from "../src/libraries/CommonErrors.sol";
import { Vm } from "./Vm.sol";

/// @dev What the tests of any contract need: assertions, creation by code, signatures.
abstract contract Common {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint40 internal constant NOW = 1_760_000_000;
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 internal constant P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551;

    uint256 private _nonce;

    error Failed(string what);

    function check(bool condition, string memory what) internal pure {
        if (!condition) revert Failed(what);
    }

    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return high - low == type(uint256).max ? value : low + value % (high - low + 1);
    }

    /// @dev The block's time as it is now: the optimizer takes `block.timestamp` for a constant across `vm.warp`.
    function time() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    /// @dev By its code and not by `new`, so that the tests need not be compiled with the contract's slow settings.
    function create(bytes memory code) internal returns (address made) {
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        check(made != address(0), "created");
    }

    /// @dev The same where the constructor must refuse.
    function expectNoCreation(bytes memory code, bytes memory expected) internal {
        address made;
        bytes memory reason;
        assembly {
            made := create(0, add(code, 0x20), mload(code))
            reason := mload(0x40)
            mstore(reason, returndatasize())
            returndatacopy(add(reason, 0x20), 0, returndatasize())
            mstore(0x40, add(reason, add(0x20, and(add(returndatasize(), 0x1f), not(0x1f)))))
        }
        check(made == address(0) && keccak256(reason) == keccak256(expected), "not created");
    }

    function domainOf(string memory name, address place) internal view returns (bytes32) {
        bytes32 head = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(head, keccak256(bytes(name)), keccak256("1"), block.chainid, place));
    }

    function sign(uint256 key, bytes32 hash) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        return abi.encodePacked(r, s, v);
    }

    /// @dev The other signature that ecrecover takes for the same key and digest.
    function malleate(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = split(signature);
        return abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }

    function split(bytes memory signature) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
    }

    /// @dev `r || s || x || y` with low s.
    function signP256(uint256 key, bytes32 hash) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(key, hash);
        if (uint256(s) > P256_ORDER / 2) s = bytes32(P256_ORDER - uint256(s));
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return abi.encodePacked(r, s, x, y);
    }

    function p256Address(uint256 key) internal pure returns (address) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return address(uint160(uint256(keccak256(abi.encodePacked(x, y)))));
    }

    function delegate(uint256 key, address code) internal {
        vm.signAndAttachDelegation(code, key);
        // The delegation takes effect with the next call.
        (bool ok,) = vm.addr(key).call("");
        ok;
        check(vm.addr(key).code.length == 23, "delegated");
    }

    function freshNonce() internal returns (uint256) {
        return _nonce++;
    }

    function wrongSigner(address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(CommonErrors.WrongSigner.selector, account);
    }
}
