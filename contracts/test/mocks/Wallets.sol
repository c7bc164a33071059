// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev A contract account with one key: the smallest honest EIP-1271 wallet.
contract KeyWallet {
    address public immutable key;

    constructor(address key_) {
        key = key_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        return ecrecover(digest, uint8(signature[64]), r, s) == key ? bytes4(0x1626ba7e) : bytes4(0xffffffff);
    }
}

/// @dev Code for an EIP-7702 account that answers EIP-1271 for one password, whatever the digest.
contract PasswordCode {
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return keccak256(signature) == keccak256("password") ? bytes4(0x1626ba7e) : bytes4(0);
    }
}

/// @dev Code for an EIP-7702 account that knows nothing of EIP-1271.
contract PlainCode {
    function ping() external pure returns (uint256) {
        return 1;
    }
}

/// @dev Takes any signature, the empty one too.
contract YesWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}

/// @dev Answers with four bytes where a word is due.
contract ShortWallet {
    fallback() external {
        assembly {
            mstore(0, 0x1626ba7e00000000000000000000000000000000000000000000000000000000)
            return(0, 4)
        }
    }
}

/// @dev Answers with the right selector among other bytes set: not the magic value as a word.
contract DirtyWallet {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes32) {
        return bytes32(uint256(0x1626ba7e) << 224 | 1);
    }
}

/// @dev Says yes, after using about as much gas as it was told.
contract HeavyWallet {
    uint256 public immutable work;

    constructor(uint256 work_) {
        work = work_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 stop = gasleft() - work;
        while (gasleft() > stop) { }
        return 0x1626ba7e;
    }
}

/// @dev Tries to make whoever asks pay for a huge answer.
contract BombWallet {
    fallback() external {
        assembly {
            return(0, 180000)
        }
    }
}

/// @dev Would write, if the question were not static.
contract WritingWallet {
    uint256 public calls;

    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        ++calls;
        return 0x1626ba7e;
    }
}
