// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract CollectTest is MarketBase {
    /// @dev Uncontested: the claimant. A-14: 'Claim resolved'.
    function test_A14_afterTheWindow() public {
        bytes32 id = claimed();
        uint256 from = block.timestamp + 3 days;
        vm.warp(from - 1);
        vm.expectRevert(tooEarly(from));
        market.collect(operator, id);
        vm.warp(from);
        market.collect(operator, id);
        expectState(id, State.Resolved);
        check(balance(seller) == RICH + DUE + PENALTY, "amount and penalty");
        check(market.memberOf(operator, buyer).openClaims == 0, "welcome again");
        expectSolvent(0);
    }

    /// @dev In parts, as the debtor gets money; excluded until the last.
    function test_partialAbilityToPay() public {
        history();
        bytes32 id = delivered();
        startOut(BUYER_KEY, balance(buyer));
        vm.warp(END + WAIT);
        vault.takeOut(operator, buyer);
        put(BUYER_KEY, 100);
        reminded(id);
        claimBy(SELLER_KEY, id);
        pass(3 days);
        uint88 before = balance(seller);
        market.collect(operator, id);
        check(balance(seller) == before + 100 && stateOf(id) == State.Claimed, "a part");
        check(market.memberOf(operator, buyer).openClaims == 1, "still excluded");
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.NothingToCollect.selector));
        market.collect(operator, id);
        put(BUYER_KEY, 2 * DUE);
        market.collect(operator, id);
        check(balance(seller) == before + DUE + PENALTY && stateOf(id) == State.Resolved, "all");
        check(market.memberOf(operator, buyer).openClaims == 0, "welcome again");
        expectSolvent(0);
    }

    function test_afterAPartNobodyDisputes() public {
        history();
        bytes32 id = delivered();
        startOut(BUYER_KEY, balance(buyer));
        vm.warp(END + WAIT);
        vault.takeOut(operator, buyer);
        put(BUYER_KEY, 100);
        reminded(id);
        claimBy(SELLER_KEY, id);
        // Read from the contract: the optimizer may look at block.timestamp again after the time has passed.
        uint256 mark = market.contractOf(operator, id).mark;
        pass(3 days);
        market.collect(operator, id);
        Dispute memory m = Dispute(buyer, operator, id, 0, soon());
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(tooLate(mark));
        market.dispute(m, sig);
    }
}
