// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import { EIP1271_GAS, EIP1271_GAS_LEFT } from "./Constants.sol";
import { Errors } from "./Errors.sol";

/// @title Who signed
library Signatures {
    /// @notice Whether the account itself calls, which an empty signature claims. Saves the hash where it is true.
    function isCaller(address account, bytes calldata signature) internal view returns (bool) {
        return signature.length == 0 && account == msg.sender;
    }

    /// @notice Reverts unless `account` signed `digest`, or is the caller where the signature is empty.
    /// @dev ecrecover comes first, code second. OpenZeppelin's SignatureChecker asks for code first and would thus
    /// refuse the plain signature of an account that has delegated its code (EIP-7702) to something without EIP-1271,
    /// although the key behind the account signed. Trying the key first cannot admit anybody else: an address that a
    /// signature recovers to is the address of that key. OpenZeppelin's recovery refuses high s, v other than 27 and
    /// 28, the zero address and every length but 65.
    function requireSigned(address account, bytes32 digest, bytes calldata signature) internal view {
        if (isCaller(account, signature)) return;
        // An empty signature goes no further: there are wallets whose EIP-1271 code takes it for one given elsewhere.
        if (signature.length == 0) revert Errors.WrongSigner(account);
        (address recovered, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (err == ECDSA.RecoverError.NoError && recovered == account) return;
        if (account.code.length == 0 || !_codeAccepts(account, digest, signature)) revert Errors.WrongSigner(account);
    }

    /// @dev EIP-1271 with a fixed amount of gas. Whoever brings a message chooses the gas of the transaction and could
    /// otherwise starve this call so that a good signature looks bad; so too little gas is an error of the whole
    /// transaction, not of the message. Only one word of the answer is copied: an account that returns megabytes makes
    /// nobody pay for them.
    function _codeAccepts(address account, bytes32 digest, bytes calldata signature) private view returns (bool ok) {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        if (gasleft() < EIP1271_GAS_LEFT) revert Errors.InsufficientGas(gasleft());
        bytes32 answer;
        assembly ("memory-safe") {
            ok := staticcall(EIP1271_GAS, account, add(question, 0x20), mload(question), 0x00, 0x20)
            ok := and(ok, gt(returndatasize(), 0x1f))
            answer := mload(0x00)
        }
        return ok && answer == bytes32(IERC1271.isValidSignature.selector);
    }
}
