// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract DisputeTest is MarketBase {
    function tryDispute(uint256 key, bytes32 id, bytes memory expected) internal {
        Dispute memory m = Dispute(vm.addr(key), operator, id, keccak256("reason"), soon());
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(expected);
        market.dispute(m, sig);
    }

    function test_withinTheWindow() public {
        bytes32 id = claimed();
        uint256 until = block.timestamp + 3 days;
        vm.warp(until);
        tryDispute(BUYER_KEY, id, tooLate(until));
        vm.warp(until - 1);
        disputeBy(BUYER_KEY, id);
        expectState(id, State.Disputed);
    }

    function test_attack_onlyTheDebtor() public {
        bytes32 id = claimed();
        tryDispute(SELLER_KEY, id, abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, seller));
    }

    /// @dev Attack: contest for ever.
    function test_attack_once() public {
        bytes32 id = disputed();
        uint256 mark = block.timestamp;
        ruleBy(ARBITER_KEY, id, WH);
        tryDispute(BUYER_KEY, id, tooLate(mark));
    }

    function test_attack_notAfterAPartWasCollected() public {
        bytes32 id = claimed();
        uint256 mark = market.contractOf(operator, id).mark;
        pass(3 days);
        market.collect(operator, id);
        tryDispute(BUYER_KEY, id, wrongState(id, State.Resolved));
        check(mark != 0, "mark");
    }
}
