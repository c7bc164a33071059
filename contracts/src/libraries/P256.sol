// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title P-256 signatures by the chain's precompile (RIP-7212, EIP-7951)
library P256 {
    address internal constant PRECOMPILE = address(0x100);

    /// @dev Half the order of P-256, rounded down: above it lies the other spelling of the same signature.
    uint256 internal constant HALF_ORDER = 0x7FFFFFFF800000007FFFFFFFFFFFFFFFDE737D56D38BCF4279DCE5617E3192A8;

    /// @notice Whether the chain verifies P-256: a known signature passes, and does not when its hash is changed.
    /// @dev The vector is number 60 of wycheproof's ecdsa_secp256r1_sha256_p1363 tests.
    function isAvailable() internal view returns (bool) {
        bytes32 hash = 0xbb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023;
        bytes32 x = 0xa71af64de5126a4a4e02b7922d66ce9415ce88a4c9d25514d91082c8725ac957;
        bytes32 y = 0x5d47723c8fbe580bb369fec9c2665d8e30a435b9932645482e7c9f11e872296b;
        return verify(hash, bytes32(uint256(5)), bytes32(uint256(1)), x, y)
            && !verify(~hash, bytes32(uint256(5)), bytes32(uint256(1)), x, y);
    }

    /// @notice The address by which a P-256 key is known here, made like that of a secp256k1 key.
    function addressOf(bytes32 x, bytes32 y) internal pure returns (address) {
        return address(uint160(uint256(keccak256(bytes.concat(x, y)))));
    }

    /// @notice Whether a signature with low s is valid. Only 32 bytes that equal 1 mean yes: an address without a
    /// precompile succeeds with nothing.
    function verify(bytes32 hash, bytes32 r, bytes32 s, bytes32 x, bytes32 y) internal view returns (bool) {
        if (uint256(s) > HALF_ORDER) return false;
        (bool ok, bytes memory answer) = PRECOMPILE.staticcall(bytes.concat(hash, r, s, x, y));
        return ok && answer.length == 32 && bytes32(answer) == bytes32(uint256(1));
    }
}
