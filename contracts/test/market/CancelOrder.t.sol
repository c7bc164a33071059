// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract CancelOrderTest is MarketBase {
    function cancelOrderBy(uint256 key, bytes32 id) internal {
        Cancel memory m = Cancel(vm.addr(key), operator, id, soon());
        market.cancelOrder(m, sign(key, digest(m)));
    }

    /// @dev M-38, A-28: whichever of cancel and match comes first wins.
    function test_M38_aCancelledOrderIsNotMatched() public {
        cancelOrderBy(SELLER_KEY, offerDigest(offer));
        check(market.isCancelled(seller, offerDigest(offer)), "cancelled");
        Match memory m = aMatch();
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.OrderCancelled.selector, m.offer));
        this.bringIt(m);
    }

    function bringIt(Match calldata m) external {
        bring(m);
    }

    function test_M38_aCancelledRequestIsNotMatched() public {
        cancelOrderBy(BUYER_KEY, requestDigest(request));
        Match memory m = aMatch();
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.OrderCancelled.selector, m.request));
        this.bringIt(m);
    }

    function test_A28_whatIsFilledStaysFilled() public {
        Match memory m = aMatch();
        m.wh = WH / 2;
        bytes32 id = bring(m);
        cancelOrderBy(SELLER_KEY, offerDigest(offer));
        check(stateOf(id) == State.Matched, "stays");
        m = aMatch();
        m.wh = WH / 2;
        vm.expectRevert(abi.encodeWithSelector(MarketErrors.OrderCancelled.selector, m.offer));
        this.bringIt(m);
    }

    /// @dev Attack: somebody else's cancellation means nothing to an order.
    function test_attack_aStrangersCancellationCountsForTheStrangerOnly() public {
        cancelOrderBy(STRANGER_KEY, offerDigest(offer));
        check(!market.isCancelled(seller, offerDigest(offer)), "not cancelled");
        matched();
    }

    function test_itIsRepeatable() public {
        cancelOrderBy(SELLER_KEY, offerDigest(offer));
        cancelOrderBy(SELLER_KEY, offerDigest(offer));
        check(market.isCancelled(seller, offerDigest(offer)), "cancelled");
    }

    function test_forgedOrLate() public {
        Cancel memory m = Cancel(seller, operator, offerDigest(offer), soon());
        bytes memory forged = sign(STRANGER_KEY, digest(m));
        vm.expectRevert(wrongSigner(seller));
        market.cancelOrder(m, forged);
        m.deadline = NOW - 1;
        bytes memory late = sign(SELLER_KEY, digest(m));
        vm.expectRevert(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, NOW - 1));
        market.cancelOrder(m, late);
    }
}
