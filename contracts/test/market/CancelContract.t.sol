// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract CancelContractTest is MarketBase {
    uint88 internal constant FEE = DUE * 200 / 10_000;

    function tryCancel(uint256 key, bytes32 id, bytes memory other, bytes memory expected) internal {
        Cancel memory m = Cancel(vm.addr(key), operator, id, soon());
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(expected);
        market.cancelContract(m, sig, other);
    }

    function test_M38_aloneItCostsTheFee() public {
        bytes32 id = matched();
        cancelBy(SELLER_KEY, id);
        expectState(id, State.Cancelled);
        check(balance(buyer) == RICH + FEE && balance(seller) == RICH - FEE, "fee to the other");
        expectSolvent(0);
    }

    function test_theBuyerPaysItOutOfTheReserve() public {
        startOut(BUYER_KEY, RICH - DUE);
        bytes32 id = matched();
        cancelBy(BUYER_KEY, id);
        check(balance(buyer) == DUE - FEE && balance(seller) == RICH + FEE, "fee");
        expectSolvent(0);
    }

    function test_whoHasLessPaysLess() public {
        bytes32 id = matched();
        startOut(SELLER_KEY, RICH);
        vm.warp(NOW + WAIT);
        vault.takeOut(operator, seller);
        cancelBy(SELLER_KEY, id);
        check(balance(seller) == 0 && balance(buyer) == RICH, "nothing to take");
    }

    function test_togetherItIsFree() public {
        bytes32 id = matched();
        Cancel memory m = Cancel(seller, operator, id, soon());
        market.cancelContract(m, sign(SELLER_KEY, digest(m)), sign(BUYER_KEY, digest(m)));
        expectState(id, State.Cancelled);
        check(balance(buyer) == RICH && balance(seller) == RICH, "no fee");
    }

    function test_attack_aForgedOtherSignature() public {
        bytes32 id = matched();
        Cancel memory m = Cancel(seller, operator, id, soon());
        tryCancel(SELLER_KEY, id, sign(STRANGER_KEY, digest(m)), wrongSigner(buyer));
    }

    function test_attack_aStrangerCannot() public {
        bytes32 id = matched();
        tryCancel(STRANGER_KEY, id, "", abi.encodeWithSelector(MarketErrors.NotPartner.selector, id, stranger));
    }

    /// @dev A-15: never after delivery began; start_grace: then, if nothing was reported.
    function test_A15_notWhileItMayBeRunning() public {
        bytes32 id = matched();
        vm.warp(START);
        tryCancel(SELLER_KEY, id, "", tooEarly(START + 15 minutes));
        vm.warp(START + 15 minutes - 1);
        tryCancel(BUYER_KEY, id, "", tooEarly(START + 15 minutes));
        vm.warp(START + 15 minutes);
        cancelBy(BUYER_KEY, id);
        expectState(id, State.Cancelled);
    }

    function test_A15_notAfterAReport() public {
        bytes32 id = reported();
        tryCancel(SELLER_KEY, id, "", wrongState(id, State.Reported));
    }

    function test_anOrdersCancellationIsNotAContracts() public {
        matched();
        tryCancel(SELLER_KEY, offerDigest(offer), "", wrongState(offerDigest(offer), State.None));
    }
}
