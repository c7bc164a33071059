// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import { CommonErrors } from "./CommonErrors.sol";
import { EIP1271_GAS, EIP1271_GAS_LEFT } from "./Constants.sol";
import { P256 } from "./P256.sol";

/// @title Who signed
library Signers {
    /// @dev Half of the order of secp256k1, and one. Every signature has a twin with an s from here on, which is refused.
    uint256 private constant UPPER_HALF = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A1;

    /// @notice Whether the account itself calls, which an empty signature claims. Saves the hash where it is true.
    function isCaller(address account, bytes calldata signature) internal view returns (bool) {
        return signature.length == 0 && account == msg.sender;
    }

    /// @notice Reverts unless `account` signed `digest`, or is the caller where the signature is empty.
    /// @dev ecrecover comes first, code second. OpenZeppelin's SignatureChecker asks for code first and would thus
    /// refuse the plain signature of an account that has delegated its code (EIP-7702) to something without EIP-1271,
    /// although the key behind the account signed. Trying the key first cannot admit anybody else: an address that a
    /// signature recovers to is the address of that key.
    /// @dev OpenZeppelin's recovery refuses high s, v other than 27 and 28, the zero address and every length but 65.
    function requireSigned(address account, bytes32 digest, bytes calldata signature) internal view {
        if (isCaller(account, signature)) return;
        // An empty signature goes no further: there are wallets whose EIP-1271 code takes it for one given elsewhere.
        if (signature.length == 0) revert CommonErrors.WrongSigner(account);
        // Whatever the error, the account recovered is zero then.
        // slither-disable-next-line unused-return
        (address recovered,,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (recovered != address(0) && recovered == account) return;
        _requireCode(account, digest, signature);
    }

    /// @notice Whether it is a signature of the account's key, in 64 bytes (EIP-2098): `vs` is s with v - 27 as its
    /// highest bit.
    /// @dev ecrecover as the compiler calls it, but without a copy for each step.
    function isKeys(address account, bytes32 digest, bytes32 r, bytes32 vs) internal view returns (bool yes) {
        uint256 wanted = uint160(account);
        assembly ("memory-safe") {
            let free := mload(0x40)
            let s := shr(1, shl(1, vs))
            mstore(free, digest)
            mstore(add(free, 0x20), add(27, shr(255, vs)))
            mstore(add(free, 0x40), r)
            mstore(add(free, 0x60), s)
            mstore(0x00, not(0)) // no account; stays where the precompile finds nobody
            // It fails for want of gas only, which must not look like a wrong signature.
            if iszero(staticcall(gas(), 1, free, 0x80, 0x00, 0x20)) { revert(0x00, 0x00) }
            yes := and(eq(mload(0x00), wanted), lt(s, UPPER_HALF))
        }
    }

    /// @notice Reverts unless the account's code takes such a signature.
    /// @dev It is asked about the 65 bytes that they stand for, so that it does not matter in which form it came.
    function requireCode(address account, bytes32 digest, bytes32 r, bytes32 vs) internal view {
        uint8 v = vs >> 255 == 0 ? 27 : 28;
        _requireCode(account, digest, abi.encodePacked(r, vs << 1 >> 1, v));
    }

    /// @notice The device whose key made a signature, or zero: `r || s || v` by secp256k1, or `r || s || x || y` by
    /// P-256 where `p256` says that the chain verifies those. Both low s only.
    /// @dev A device is named by the last 20 bytes of the keccak256 of its public key, on either curve. So one slot
    /// names any key, and the signature says which curve it is. A key on the other curve with the same address would
    /// be a second preimage of 160 bits.
    function deviceOf(bytes32 digest, bytes calldata signature, bool p256) internal view returns (address device) {
        if (signature.length == 65) {
            // Zero with every error.
            // slither-disable-next-line unused-return
            (device,,) = ECDSA.tryRecoverCalldata(digest, signature);
            return device;
        }
        if (signature.length != 128 || !p256) return address(0);
        (bytes32 x, bytes32 y) = (bytes32(signature[64:]), bytes32(signature[96:]));
        return
            P256.verify(digest, bytes32(signature), bytes32(signature[32:]), x, y) ? P256.addressOf(x, y) : address(0);
    }

    function _requireCode(address account, bytes32 digest, bytes memory signature) private view {
        bool accepted = account.code.length != 0 && _codeAccepts(account, digest, signature);
        if (!accepted) revert CommonErrors.WrongSigner(account);
    }

    /// @dev EIP-1271 with a fixed amount of gas. Whoever brings a message chooses the gas of the transaction and could
    /// otherwise starve this call so that a good signature looks bad; so too little gas is an error of the whole
    /// transaction, not of the message. Only one word of the answer is copied: an account that returns megabytes makes
    /// nobody pay for them.
    function _codeAccepts(address account, bytes32 digest, bytes memory signature) private view returns (bool ok) {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        if (gasleft() < EIP1271_GAS_LEFT) revert CommonErrors.InsufficientGas(gasleft());
        bytes32 answer;
        assembly ("memory-safe") {
            ok := staticcall(EIP1271_GAS, account, add(question, 0x20), mload(question), 0x00, 0x20)
            ok := and(ok, gt(returndatasize(), 0x1f))
            answer := mload(0x00)
        }
        return ok && answer == bytes32(IERC1271.isValidSignature.selector);
    }
}
