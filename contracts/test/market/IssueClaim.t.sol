// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract IssueClaimTest is MarketBase {
    function tryClaim(uint256 key, bytes32 id, bytes memory expected) internal {
        IssueClaim memory m = IssueClaim(vm.addr(key), operator, id, keccak256("evidence"), soon());
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(expected);
        market.issueClaim(m, sig);
    }

    /// @dev M-37, A-13: after three reminders, at 4T.
    function test_M37_afterThreeReminders() public {
        bytes32 id = delivered();
        for (uint8 i = 1; i <= 3; ++i) {
            tryClaim(SELLER_KEY, id, abi.encodeWithSelector(MarketErrors.RemindersMissing.selector));
            pass(1 days);
            remindBy(SELLER_KEY, id, i);
        }
        tryClaim(SELLER_KEY, id, tooEarly(block.timestamp + 1 days));
        pass(1 days);
        claimBy(SELLER_KEY, id);
        Trade memory t = market.contractOf(operator, id);
        check(t.state == State.Claimed && t.due == DUE + PENALTY && t.held == DUE + PENALTY, "claimed and held");
        check(market.memberOf(operator, buyer).openClaims == 1, "excluded");
        check(balance(buyer) == RICH - DUE - PENALTY, "frozen");
        expectSolvent(DUE + PENALTY);
    }

    /// forge-config: default.fuzz.runs = 48
    /// forge-config: long.fuzz.runs = 10000
    /// @dev A claim reaches what is on its way out, and no more than there is.
    function testFuzz_itFreezesWhatThereIs(uint88 left, uint88 pending) public {
        history();
        bytes32 id = delivered();
        uint88 total = DUE + PENALTY;
        (left, pending) = (left % (2 * total), pending % (2 * total));
        startOut(BUYER_KEY, balance(buyer));
        vm.warp(END + WAIT);
        vault.takeOut(operator, buyer);
        vm.warp(END);
        put(BUYER_KEY, left + pending);
        startOut(BUYER_KEY, pending);
        reminded(id);
        claimBy(SELLER_KEY, id);
        Trade memory t = market.contractOf(operator, id);
        uint256 there = uint256(left) + pending;
        check(t.held == (there < total ? there : total), "held");
        Member memory m = market.memberOf(operator, buyer);
        check(m.balance == (left < total ? 0 : left - total), "balance first");
        check(uint256(m.balance) + m.pending + t.held == there, "nothing lost");
        expectSolvent(t.held);
    }

    /// @dev Attack: both partners claim.
    function test_attack_theBuyerCannotClaim() public {
        bytes32 id = delivered();
        reminded(id);
        tryClaim(BUYER_KEY, id, abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, buyer));
        claimBy(SELLER_KEY, id);
        tryClaim(SELLER_KEY, id, wrongState(id, State.Claimed));
        tryClaim(BUYER_KEY, id, wrongState(id, State.Claimed));
    }

    function test_attack_notWhenPaid() public {
        bytes32 id = delivered();
        reminded(id);
        payBy(BUYER_KEY, one(id), DUE, false);
        tryClaim(SELLER_KEY, id, wrongState(id, State.Paid));
    }

    /// @dev 5b: money withdrawn on the day of delivery is still here on the day of the claim.
    function test_theDebtorCannotRunAway() public {
        history();
        bytes32 id = delivered();
        startOut(BUYER_KEY, balance(buyer));
        reminded(id);
        vm.expectRevert(tooEarly(uint256(END) + WAIT));
        vault.takeOut(operator, buyer);
        claimBy(SELLER_KEY, id);
        check(market.contractOf(operator, id).held == DUE + PENALTY, "held");
    }
}
