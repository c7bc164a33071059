// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract CureTest is MarketBase {
    function tryCure(uint256 key, bytes32 id, bytes memory expected) internal {
        Cure memory m = Cure(vm.addr(key), operator, id, soon());
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(expected);
        market.cure(m, sig);
    }

    /// @dev A-14: 'Claim cured'.
    function test_A14_theDebtorPaysAmountAndPenalty() public {
        bytes32 id = claimed();
        cureBy(BUYER_KEY, id);
        expectState(id, State.Cured);
        check(balance(seller) == RICH + DUE + PENALTY && balance(buyer) == RICH - DUE - PENALTY, "paid");
        check(market.memberOf(operator, buyer).openClaims == 0, "welcome again");
        expectSolvent(0);
    }

    function test_withNewMoney() public {
        history();
        bytes32 id = delivered();
        startOut(BUYER_KEY, balance(buyer));
        vm.warp(END + WAIT);
        vault.takeOut(operator, buyer);
        reminded(id);
        claimBy(SELLER_KEY, id);
        put(BUYER_KEY, DUE);
        tryCure(BUYER_KEY, id, abi.encodeWithSelector(MarketErrors.BalanceShort.selector, buyer, DUE, DUE + PENALTY));
        put(BUYER_KEY, PENALTY);
        cureBy(BUYER_KEY, id);
        check(balance(buyer) == 0, "all of it");
        expectSolvent(0);
    }

    function test_attack_onlyTheDebtor() public {
        bytes32 id = claimed();
        tryCure(SELLER_KEY, id, abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, seller));
    }
}
