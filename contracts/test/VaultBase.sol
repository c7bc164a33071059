// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../src/interfaces/IAnchors.sol";
import { IMessenger } from "../src/interfaces/IMessenger.sol";
import "../src/interfaces/IVault.sol";
import { CommonErrors } from "../src/libraries/CommonErrors.sol";
import { MarketErrors } from "../src/libraries/MarketErrors.sol";
import { MarketEvents } from "../src/libraries/MarketEvents.sol";
import { Vm } from "./Vm.sol";
import { TestToken } from "./mocks/Tokens.sol";

/// @dev Actors, signatures and digests for whatever holds money. Struct hashes are written out here a second time, so
/// that a slip in the contracts' own does not cancel out.
abstract contract VaultBase {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 internal constant OPERATOR_KEY = 0x0BE7A;
    uint256 internal constant SELLER_KEY = 0x5E11;
    uint256 internal constant BUYER_KEY = 0xB111;
    uint256 internal constant ARBITER_KEY = 0xA4B;
    uint256 internal constant METER_KEY = 0x3E7E4;
    uint256 internal constant DELEGATE_KEY = 0xDE1E;
    uint256 internal constant STRANGER_KEY = 0x57;

    uint40 internal constant NOW = 1_760_000_000;
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
    uint256 private _nonce;

    error Failed(string what);

    function check(bool condition, string memory what) internal pure {
        if (!condition) revert Failed(what);
    }

    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + value % (high - low + 1);
    }

    /// @dev By its code and not by `new`, so that the tests need not be compiled with the contract's slow settings.
    function create(string memory what, bytes memory arguments) internal returns (address made) {
        bytes memory code = bytes.concat(vm.getCode(what), arguments);
        assembly {
            made := create(0, add(code, 0x20), mload(code))
        }
        check(made != address(0), what);
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

    function separator(address place, string memory name) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256("1"),
                block.chainid,
                place
            )
        );
    }

    function typed(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", separator(address(vault), domainName), structHash));
    }

    function sign(uint256 key, bytes32 hash) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, hash);
        return abi.encodePacked(r, s, v);
    }

    function freshNonce() internal returns (uint256) {
        return _nonce++;
    }

    function soon() internal view returns (uint40) {
        return uint40(block.timestamp) + 1 days;
    }

    function pass(uint256 time) internal {
        vm.warp(block.timestamp + time);
    }

    function wrongSigner(address account) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(CommonErrors.WrongSigner.selector, account);
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

    function startOut(uint256 key, uint88 amount) internal {
        Withdraw memory m = Withdraw(vm.addr(key), operator, amount, freshNonce(), soon());
        vault.withdraw(m, sign(key, digest(m)));
    }

    function balance(address account) internal view returns (uint88) {
        return vault.memberOf(operator, account).balance;
    }
}
