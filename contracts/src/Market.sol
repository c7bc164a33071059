// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import { IAnchors } from "./interfaces/IAnchors.sol";
import { IMarket } from "./interfaces/IMarket.sol";
import { IVault } from "./interfaces/IVault.sol";
import { MarketMessages } from "./libraries/MarketMessages.sol";
import { Claims } from "./market/Claims.sol";
import { Orders } from "./market/Orders.sol";
import { Payments } from "./market/Payments.sol";
import { Vault } from "./market/Vault.sol";

/// @title Market
/// @notice See {IMarket}.
contract Market is Orders, Payments, Claims {
    constructor(IERC20 token_, uint32 withdrawWait_, IAnchors anchors_)
        EIP712("Wattpact Market", "1")
        Vault(token_, withdrawWait_)
        Orders(anchors_)
    { }

    function _structHash(bytes calldata call) internal pure override returns (bytes32) {
        bytes4 selector = bytes4(call[:4]);
        if (selector == IMarket.pay.selector) return _hashPayment(call);
        (bytes32 typeHash, uint256 words) = _typeOf(selector);
        return words == 0 ? bytes32(0) : _hashWords(typeHash, call, words);
    }

    function _typeOf(bytes4 selector) private pure returns (bytes32 typeHash, uint256 words) {
        if (selector == IMarket.makeContract.selector) return (MarketMessages.MATCH, 9);
        if (selector == IMarket.report.selector || selector == IMarket.answer.selector) {
            return (MarketMessages.PROVISION, 5);
        }
        if (selector == IMarket.confirm.selector) return (MarketMessages.CONFIRM, 4);
        if (selector == IMarket.remind.selector) return (MarketMessages.REMIND, 5);
        if (selector == IMarket.issueClaim.selector) return (MarketMessages.ISSUE_CLAIM, 5);
        if (selector == IMarket.cure.selector) return (MarketMessages.CURE, 4);
        if (selector == IMarket.dispute.selector) return (MarketMessages.DISPUTE, 5);
        if (selector == IMarket.rule.selector) return (MarketMessages.RULING, 5);
        if (selector == IMarket.cancelOrder.selector || selector == IMarket.cancelContract.selector) {
            return (MarketMessages.CANCEL, 4);
        }
        if (selector == IVault.deposit.selector || selector == IVault.depositWithPermit.selector) {
            return (MarketMessages.DEPOSIT, 5);
        }
        if (selector == IVault.withdraw.selector) return (MarketMessages.WITHDRAW, 5);
    }

    /// @dev The one message with a list: its offset gives way to the hash of its elements.
    function _hashPayment(bytes calldata call) private pure returns (bytes32) {
        uint256 body = 4 + uint256(bytes32(call[4:36]));
        uint256 list = body + uint256(bytes32(call[body + 64:body + 96]));
        uint256 size = uint256(bytes32(call[list:list + 32])) * 32;
        bytes32 contracts = keccak256(call[list + 32:list + 32 + size]);
        return
            keccak256(bytes.concat(MarketMessages.PAYMENT, call[body:body + 64], contracts, call[body + 96:body + 192]));
    }
}
