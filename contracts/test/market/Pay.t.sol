// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract PayTest is MarketBase {
    function tryPay(uint256 key, bytes32[] memory ids, uint88 amount, bool wallet, bytes memory expected) internal {
        Payment memory m = Payment(vm.addr(key), operator, ids, amount, wallet, soon());
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(expected);
        market.pay(m, sig);
    }

    /// @dev M-34.
    function test_M34_fromTheReserve() public {
        bytes32 id = delivered();
        vm.expectEmit(address(market));
        emit MarketEvents.Paid(id, DUE);
        payBy(BUYER_KEY, one(id), DUE, false);
        expectState(id, State.Paid);
        check(balance(seller) == RICH + DUE && balance(buyer) == RICH - DUE, "moved");
        check(market.memberOf(operator, buyer).serial == 1, "history");
        expectSolvent(0);
    }

    function test_fromTheBalance() public {
        history();
        (uint88 a, uint88 b) = (balance(buyer), balance(seller));
        bytes32 id = delivered();
        payBy(BUYER_KEY, one(id), DUE, false);
        check(balance(buyer) == a - DUE && balance(seller) == b + DUE, "moved");
        expectSolvent(0);
    }

    function test_fromTheWallet() public {
        history();
        token.mint(buyer, DUE);
        bytes32 id = delivered();
        (uint88 a, uint88 b) = (balance(buyer), balance(seller));
        payBy(BUYER_KEY, one(id), DUE, true);
        check(token.balanceOf(seller) == DUE && token.balanceOf(buyer) == 0, "wallet to wallet");
        check(balance(buyer) == a && balance(seller) == b, "books untouched");
        expectSolvent(0);
    }

    function test_whatIsReservedIsPaidOutOfTheReserveAlways() public {
        bytes32 id = delivered();
        payBy(BUYER_KEY, one(id), DUE, true);
        check(balance(seller) == RICH + DUE && token.balanceOf(seller) == 0, "reserve");
        expectSolvent(0);
    }

    function test_manyAtOnceReservedAndNot() public {
        bytes32[] memory ids = new bytes32[](3);
        ids[0] = delivered();
        vm.warp(NOW);
        bytes32 first = another();
        vm.warp(END);
        reportBy(SELLER_KEY, first, WH);
        answerBy(BUYER_KEY, first, WH);
        payBy(BUYER_KEY, one(first), DUE, false);
        for (uint256 i = 1; i < 3; ++i) {
            vm.warp(NOW);
            ids[i] = another();
            vm.warp(END);
            reportBy(SELLER_KEY, ids[i], WH);
            answerBy(BUYER_KEY, ids[i], WH);
        }
        (uint88 a, uint88 b) = (balance(buyer), balance(seller));
        payBy(BUYER_KEY, ids, 3 * DUE, false);
        check(balance(buyer) == a - 2 * DUE && balance(seller) == b + 3 * DUE, "all");
        check(market.memberOf(operator, buyer).serial == 4, "history");
        expectSolvent(0);
    }

    function test_theSumIsSigned() public {
        bytes32 id = delivered();
        bytes memory wrong = abi.encodeWithSelector(MarketErrors.WrongTotal.selector, DUE - 1, DUE);
        tryPay(BUYER_KEY, one(id), DUE - 1, false, wrong);
    }

    /// @dev A-24: money for some contracts pays those; the rest waits.
    function test_A24_partialAbilityToPay() public {
        history();
        bytes32 first = delivered();
        vm.warp(NOW);
        bytes32 second = another();
        vm.warp(END);
        reportBy(SELLER_KEY, second, WH);
        answerBy(BUYER_KEY, second, WH);
        startOut(BUYER_KEY, balance(buyer) - DUE);
        bytes32[] memory both = new bytes32[](2);
        (both[0], both[1]) = (first, second);
        bytes memory short_ = abi.encodeWithSelector(MarketErrors.BalanceShort.selector, buyer, DUE, 2 * DUE);
        tryPay(BUYER_KEY, both, 2 * DUE, false, short_);
        expectState(first, State.Delivered);
        payBy(BUYER_KEY, one(first), DUE, false);
        expectState(first, State.Paid);
        expectState(second, State.Delivered);
        put(BUYER_KEY, DUE);
        payBy(BUYER_KEY, one(second), DUE, false);
        expectState(second, State.Paid);
    }

    function test_attack_paidOnce() public {
        bytes32 id = delivered();
        payBy(BUYER_KEY, one(id), DUE, false);
        tryPay(BUYER_KEY, one(id), DUE, false, wrongState(id, State.Paid));
        bytes32[] memory twice = new bytes32[](2);
        vm.warp(NOW);
        (twice[0], twice[1]) = (delivered2(), bytes32(0));
        twice[1] = twice[0];
        tryPay(BUYER_KEY, twice, 2 * DUE, false, wrongState(twice[0], State.Paid));
    }

    function delivered2() internal returns (bytes32 id) {
        id = another();
        vm.warp(END);
        reportBy(SELLER_KEY, id, WH);
        answerBy(BUYER_KEY, id, WH);
    }

    function test_attack_nobodyPaysWithAnothersMoney() public {
        bytes32 id = delivered();
        tryPay(SELLER_KEY, one(id), DUE, false, abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, seller));
        Payment memory m = Payment(buyer, operator, one(id), DUE, false, soon());
        bytes memory forged = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(buyer));
        market.pay(m, forged);
        tryPay(
            STRANGER_KEY,
            one(id),
            DUE,
            false,
            abi.encodeWithSelector(MarketErrors.NotMember.selector, operator, stranger)
        );
    }

    function test_aPaymentNamesContracts() public {
        tryPay(BUYER_KEY, new bytes32[](0), 0, false, abi.encodeWithSelector(MarketErrors.NoContracts.selector));
    }

    function test_attack_aContractOfAnotherOperatorIsNotFound() public {
        bytes32 id = delivered();
        market.depositFor(stranger, buyer, 0);
        Payment memory m = Payment(buyer, stranger, one(id), DUE, false, soon());
        bytes memory sig = sign(BUYER_KEY, digest(m));
        vm.expectRevert(wrongState(id, State.None));
        market.pay(m, sig);
    }
}
