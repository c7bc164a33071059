// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/interfaces/IAnchors.sol";
import { IMessenger } from "../src/interfaces/IMessenger.sol";
import "../src/interfaces/IVault.sol";
import { CommonErrors } from "../src/libraries/CommonErrors.sol";
import { MarketErrors } from "../src/libraries/MarketErrors.sol";
import { MarketEvents } from "../src/libraries/MarketEvents.sol";
import { Common } from "./Common.sol";
import { TestToken } from "./mocks/Tokens.sol";

/// @dev Actors, signatures and digests for whatever holds money. Struct hashes are written out here a second time, so
/// that a slip in the contracts' own does not cancel out.
abstract contract VaultBase is Common {
    uint256 internal constant OPERATOR_KEY = 0x0BE7A;
    uint256 internal constant SELLER_KEY = 0x5E11;
    uint256 internal constant BUYER_KEY = 0xB111;
    uint256 internal constant ARBITER_KEY = 0xA4B;
    uint256 internal constant METER_KEY = 0x3E7E4;
    uint256 internal constant DELEGATE_KEY = 0xDE1E;
    uint256 internal constant STRANGER_KEY = 0x57;

    uint32 internal constant WAIT = 14 days;
    uint88 internal constant RICH = 1_000_000_000;

    IAnchors internal anchors;
    IVault internal vault;
    TestToken internal token;
    string internal domainName;

    address internal operator;
    address internal seller;
    address internal buyer;
    address internal arbiter;
    address internal meter;
    address internal stranger;

    function create(string memory what, bytes memory arguments) internal returns (address) {
        return create(bytes.concat(vm.getCode(what), arguments));
    }

    function actors() internal {
        vm.warp(NOW);
        operator = vm.addr(OPERATOR_KEY);
        seller = vm.addr(SELLER_KEY);
        buyer = vm.addr(BUYER_KEY);
        arbiter = vm.addr(ARBITER_KEY);
        meter = vm.addr(METER_KEY);
        stranger = vm.addr(STRANGER_KEY);
        anchors = IAnchors(create("Anchors.sol:Anchors", ""));
    }

    function typed(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domainOf(domainName, address(vault)), structHash));
    }

    function soon() internal view returns (uint40) {
        return uint40(block.timestamp) + 1 days;
    }

    function pass(uint256 time) internal {
        vm.warp(block.timestamp + time);
    }

    function tooEarly(uint256 time) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(MarketErrors.TooEarly.selector, time);
    }

    function tooLate(uint256 time) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(MarketErrors.TooLate.selector, time);
    }

    /* MONEY */

    function digest(Deposit memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("Deposit(address account,address operator,uint88 amount,uint256 nonce,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Withdraw memory m) internal view returns (bytes32) {
        bytes32 head =
            keccak256("Withdraw(address account,address operator,uint88 amount,uint256 nonce,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function aDeposit(address account, uint88 amount) internal returns (Deposit memory) {
        return Deposit(account, operator, amount, freshNonce(), soon());
    }

    /// @dev Tokens, an approval and a deposit.
    function put(uint256 key, uint88 amount) internal {
        address account = vm.addr(key);
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(vault), type(uint256).max);
        Deposit memory m = aDeposit(account, amount);
        vault.deposit(m, sign(key, digest(m)));
    }

    /// @dev From now on the token behaves as another one does; what it has written stays where that one looks for it.
    function turnInto(address odd) internal {
        vm.etch(address(token), odd.code);
    }

    function startOut(uint256 key, uint88 amount) internal {
        Withdraw memory m = Withdraw(vm.addr(key), operator, amount, freshNonce(), soon());
        vault.withdraw(m, sign(key, digest(m)));
    }

    function balance(address account) internal view returns (uint88) {
        return vault.memberOf(operator, account).balance;
    }
}
