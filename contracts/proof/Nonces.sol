// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { Messenger } from "../src/base/Messenger.sol";
import { Records } from "../src/base/Records.sol";

/// @dev a nonce is used once. For the base of EnergyToken, Anchors, Market and NetSettlement.
contract MessengerNoncesProof is Messenger {
    constructor() EIP712("Proof", "1") { }

    function _structHash(bytes calldata) internal pure override returns (bytes32) {
        return 0;
    }

    function use(address account, uint256 nonce) external {
        _useNonce(account, nonce);
    }

    function used(address account, uint256 nonce) private returns (bool) {
        try this.use(account, nonce) {
            return true;
        } catch {
            return false;
        }
    }

    /// @dev In any order, with another nonce used between.
    function check_aNonceIsUsedOnce(address account, uint256 nonce, address other, uint256 between) public {
        if (!used(account, nonce)) return;
        used(other, between);
        assert(!used(account, nonce));
        assert(this.nonceUsed(account, nonce));
    }

    function check_aNonceBurnsNoOther(address account, uint256 nonce, address other, uint256 another) public {
        if (account == other && nonce == another) return;
        bool before = this.nonceUsed(other, another);
        used(account, nonce);
        assert(this.nonceUsed(other, another) == before);
    }
}

/// @dev The same for the registry, which keeps its own.
contract RegistryNoncesProof is Records {
    function use(address account, uint256 nonce) external {
        _useNonce(account, nonce);
    }

    function used(address account, uint256 nonce) private returns (bool) {
        try this.use(account, nonce) {
            return true;
        } catch {
            return false;
        }
    }

    function isUsed(address account, uint256 nonce) private view returns (bool) {
        return _nonces[account][nonce >> 8].value & (1 << (nonce & 0xff)) != 0;
    }

    function check_aNonceIsUsedOnce(address account, uint256 nonce, address other, uint256 between) public {
        if (!used(account, nonce)) return;
        used(other, between);
        assert(!used(account, nonce) && isUsed(account, nonce));
    }

    function check_aNonceBurnsNoOther(address account, uint256 nonce, address other, uint256 another) public {
        if (account == other && nonce == another) return;
        bool before = isUsed(other, another);
        used(account, nonce);
        assert(isUsed(other, another) == before);
    }
}
