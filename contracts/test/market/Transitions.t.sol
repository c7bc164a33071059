// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

/// @dev contracts.md: every transition has one allowed source state. Each step is tried from every state.
contract TransitionsTest is MarketBase {
    uint256 internal constant STATES = 12;
    uint256 internal constant STEPS = 18;

    /// @dev The table: where each step starts.
    function sourceOf(uint256 which) internal pure returns (State) {
        State[18] memory table = [
            State.None, // 0 makeContract
            State.Matched, // 1 cancelContract
            State.Matched, // 2 lapse
            State.Matched, // 3 report
            State.Reported, // 4 answer
            State.Reported, // 5 stand
            State.Contested, // 6 settleSmaller
            State.Contested, // 7 measure
            State.Delivered, // 8 pay
            State.Paid, // 9 confirm
            State.Delivered, // 10 remind
            State.Delivered, // 11 issueClaim
            State.Claimed, // 12 cure
            State.Claimed, // 13 dispute
            State.Disputed, // 14 rule
            State.Disputed, // 15 measureClaim
            State.Disputed, // 16 closeDispute
            State.Claimed // 17 collect
        ];
        return table[which];
    }

    function makeOne(State state) internal returns (bytes32 id) {
        made = aMatch();
        if (state == State.None) return digest(made);
        if (state == State.Matched) return bring(made);
        if (state == State.Reported) return reported();
        if (state == State.Contested) return contested();
        if (state == State.Delivered) return delivered();
        if (state == State.Claimed) return claimed();
        if (state == State.Disputed) return disputed();
        if (state == State.Cancelled) {
            id = matched();
            cancelBy(SELLER_KEY, id);
        } else if (state == State.Cured) {
            id = claimed();
            cureBy(BUYER_KEY, id);
        } else if (state == State.Resolved) {
            id = claimed();
            pass(3 days);
            market.collect(operator, id);
        } else {
            id = delivered();
            payBy(BUYER_KEY, one(id), DUE, false);
            if (state == State.Confirmed) confirmBy(SELLER_KEY, id);
        }
    }

    function step(uint256 which, bytes32 id) external {
        if (which == 0) bring(made);
        else if (which == 1) cancelBy(SELLER_KEY, id);
        else if (which == 2) market.lapse(operator, id);
        else if (which == 3) reportBy(SELLER_KEY, id, WH);
        else if (which == 4) answerBy(BUYER_KEY, id, WH);
        else if (which == 5) market.stand(operator, id);
        else if (which == 6) market.settleSmaller(operator, id);
        else if (which == 7) market.measure(made, offer, evidence(0, WH));
        else if (which == 8) payBy(BUYER_KEY, one(id), DUE, false);
        else if (which == 9) confirmBy(SELLER_KEY, id);
        else if (which == 10) remindBy(SELLER_KEY, id, 1);
        else if (which == 11) claimBy(SELLER_KEY, id);
        else if (which == 12) cureBy(BUYER_KEY, id);
        else if (which == 13) disputeBy(BUYER_KEY, id);
        else if (which == 14) ruleBy(ARBITER_KEY, id, WH);
        else if (which == 15) market.measureClaim(made, offer, evidence(0, WH));
        else if (which == 16) market.closeDispute(operator, id);
        else market.collect(operator, id);
    }

    function test_everyIllegalMoveIsRefused() public {
        uint256 refused;
        for (uint256 s; s < STATES; ++s) {
            uint256 snapshot = vm.snapshotState();
            bytes32 id = makeOne(State(s));
            expectState(id, State(s));
            if (State(s) == State.Matched) vm.warp(NOW);
            for (uint256 which; which < STEPS; ++which) {
                if (sourceOf(which) == State(s)) continue;
                // A new contract can only be tried under the same match while its orders are good.
                if (which == 0) vm.warp(NOW);
                try this.step(which, id) {
                    revert Failed(string.concat("step ", vm.toString(which), " in state ", vm.toString(s)));
                } catch (bytes memory reason) {
                    check(keccak256(reason) == keccak256(wrongState(id, State(s))), vm.toString(which * 100 + s));
                    ++refused;
                }
            }
            vm.revertToState(snapshot);
        }
        check(refused == STATES * STEPS - STEPS, "all of them");
    }
}
