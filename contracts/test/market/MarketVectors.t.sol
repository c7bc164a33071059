// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/interfaces/IAllowances.sol";
import "../../src/interfaces/INetSettlement.sol";
import { MarketMessages } from "../../src/libraries/MarketMessages.sol";
import "./MarketBase.sol";

/// @dev tests/vectors/eip712.json, made with another encoder: the four contracts agree on every hash.
contract MarketVectorsTest is MarketBase {
    string private json;
    string private place;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("tests/vectors/eip712.json");
    }

    function field(uint256 index, string memory name) private view returns (string memory) {
        return string.concat(place, ".vectors[", vm.toString(index), "].", name);
    }

    /// @dev The function that takes a message, by the hash of its name; zero where it is never first in a call.
    function selectorOf(bytes32 name) private pure returns (bytes4) {
        if (name == keccak256("Deposit")) return IVault.deposit.selector;
        if (name == keccak256("Withdraw")) return IVault.withdraw.selector;
        if (name == keccak256("Match")) return IMarket.makeContract.selector;
        if (name == keccak256("Cancel")) return IMarket.cancelOrder.selector;
        if (name == keccak256("Provision")) return IMarket.report.selector;
        if (name == keccak256("Payment")) return IMarket.pay.selector;
        if (name == keccak256("Confirm")) return IMarket.confirm.selector;
        if (name == keccak256("Remind")) return IMarket.remind.selector;
        if (name == keccak256("IssueClaim")) return IMarket.issueClaim.selector;
        if (name == keccak256("Cure")) return IMarket.cure.selector;
        if (name == keccak256("Dispute")) return IMarket.dispute.selector;
        if (name == keccak256("Ruling")) return IMarket.rule.selector;
        if (name == keccak256("Allowance")) return IAllowances.allow.selector;
        if (name == keccak256("Anchor")) return IAnchors.anchor.selector;
        if (name == keccak256("Delegate")) return IAnchors.delegate.selector;
        if (name == keccak256("NetMandate")) return INetSettlement.setMandate.selector;
        if (name == keccak256("NetBatch")) return INetSettlement.settleNet.selector;
        if (name == keccak256("Demand")) return INetSettlement.demandLines.selector;
        return 0;
    }

    function agree(string memory name, address deployed, uint256 messages, uint256 never) private {
        place = string.concat(".contracts.", name);
        IMessenger moved = IMessenger(vm.parseJsonAddress(json, string.concat(place, ".domain.verifyingContract")));
        // Same code at the address in the vectors; it sees that it moved and derives its domain anew.
        vm.etch(address(moved), deployed.code);
        bytes32 domain = domainOf(string.concat("Wattpact ", name), address(moved));
        check(domain == vm.parseJsonBytes32(json, string.concat(place, ".domainSeparator")), "domain");
        uint256 count = vm.parseJsonUint(json, string.concat(place, ".count"));
        check(count == 2 * messages, "every message, two cases");
        uint256 skipped;
        for (uint256 i; i < count; ++i) {
            bytes32 digest_ = vm.parseJsonBytes32(json, field(i, "digest"));
            bytes32 structHash = vm.parseJsonBytes32(json, field(i, "structHash"));
            check(keccak256(abi.encodePacked(hex"1901", domain, structHash)) == digest_, "digest");
            bytes memory encoded = vm.parseJsonBytes(json, field(i, "encoded"));
            bytes4 selector = selectorOf(keccak256(bytes(vm.parseJsonString(json, field(i, "primaryType")))));
            if (selector == 0) {
                bytes32 typeHash = keccak256(bytes(vm.parseJsonString(json, field(i, "type"))));
                check(keccak256(bytes.concat(typeHash, encoded)) == structHash, "struct hash");
                ++skipped;
            } else {
                check(moved.digestOf(bytes.concat(selector, encoded)) == digest_, field(i, "by the contract"));
            }
        }
        check(skipped == 2 * never, "all others are first in a call");
    }

    function test_hashesAgree() public {
        agree("Market", address(market), 15, 3);
        agree("Anchors", address(anchors), 2, 0);
        address net = create("NetSettlement.sol:NetSettlement", abi.encode(token, WAIT, anchors, uint32(3 days)));
        agree("NetSettlement", net, 6, 1);
        agree("Allowances", create("Allowances.sol:Allowances", abi.encode(market)), 1, 0);
    }

    function test_typesOfOrdersAndCountersAgree() public view {
        check(MarketMessages.OFFER == keccak256(bytes(string.concat("Offer", ORDER_FIELDS))), "offer");
        check(MarketMessages.REQUEST == keccak256(bytes(string.concat("Request", ORDER_FIELDS))), "request");
        string memory path = ".contracts.Market.vectors[";
        check(MarketMessages.OFFER == vm.parseJsonBytes32(json, string.concat(path, "4].typeHash")), "offer");
        check(MarketMessages.REQUEST == vm.parseJsonBytes32(json, string.concat(path, "6].typeHash")), "request");
        check(MarketMessages.COUNTER == vm.parseJsonBytes32(json, string.concat(path, "14].typeHash")), "counter");
    }
}
