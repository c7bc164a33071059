// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import { CommonErrors } from "./CommonErrors.sol";
import { EIP1271_GAS, EIP1271_GAS_LEFT } from "./Constants.sol";
import { P256 } from "./P256.sol";

/// @title Who signed
library Signers {
    /// @notice Reverts unless `account` signed `digest`, or is the caller where the signature is empty.
    /// @dev ecrecover comes first, code second. OpenZeppelin's SignatureChecker asks for code first and would thus
    /// refuse the plain signature of an account that has delegated its code (EIP-7702) to something without EIP-1271,
    /// although the key behind the account signed. Trying the key first cannot admit anybody else: an address that a
    /// signature recovers to is the address of that key.
    function requireSigned(address account, bytes32 digest, bytes calldata signature) internal view {
        if (signature.length == 0 && account == msg.sender) return;
        if (!signed(account, digest, signature)) revert CommonErrors.WrongSigner(account);
    }

    /// @notice Whether `account` signed, by its key or by its code.
    /// @dev OpenZeppelin's recovery refuses high s, v other than 27 and 28, the zero address and every length but 65.
    /// An empty signature goes no further: there are wallets whose EIP-1271 code takes it for one given elsewhere.
    function signed(address account, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        if (signature.length == 0) return false;
        (address recovered, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (err == ECDSA.RecoverError.NoError && recovered == account) return true;
        return account.code.length != 0 && _codeAccepts(account, digest, signature);
    }

    /// @notice The device whose key made a signature, or zero: `r || s || v` by secp256k1, or `r || s || x || y` by
    /// P-256 where `p256` says that the chain verifies those. Both low s only.
    /// @dev A device is named by the last 20 bytes of the keccak256 of its public key, on either curve. So one slot
    /// names any key, and the signature says which curve it is. A key on the other curve with the same address would
    /// be a second preimage of 160 bits.
    function deviceOf(bytes32 digest, bytes calldata signature, bool p256) internal view returns (address device) {
        if (signature.length == 65) {
            (address recovered, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
            return err == ECDSA.RecoverError.NoError ? recovered : address(0);
        }
        if (signature.length != 128 || !p256) return address(0);
        (bytes32 x, bytes32 y) = (bytes32(signature[64:]), bytes32(signature[96:]));
        return
            P256.verify(digest, bytes32(signature), bytes32(signature[32:]), x, y) ? P256.addressOf(x, y) : address(0);
    }

    /// @dev EIP-1271 with a fixed amount of gas. Whoever brings a message chooses the gas of the transaction and could
    /// otherwise starve this call so that a good signature looks bad; so too little gas is an error of the whole
    /// transaction, not of the message. Only one word of the answer is copied: an account that returns megabytes makes
    /// nobody pay for them.
    function _codeAccepts(address account, bytes32 digest, bytes calldata signature) private view returns (bool ok) {
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
