// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./MarketBase.sol";

contract LapseTest is MarketBase {
    function test_aContractNobodyReportedEnds() public {
        bytes32 id = matched();
        uint256 time = uint256(END) + 1 hours + 3 days;
        vm.warp(time - 1);
        vm.expectRevert(tooEarly(time));
        market.lapse(operator, id);
        vm.warp(time);
        market.lapse(operator, id);
        expectState(id, State.Cancelled);
        check(balance(buyer) == RICH, "the reserve is back");
    }

    /// @dev Attack: a report after everybody had to think that nothing was delivered.
    function test_attack_aReportThatLateIsRefused() public {
        bytes32 id = matched();
        uint256 time = uint256(END) + 1 hours + 3 days;
        vm.warp(time);
        Provision memory m = provision(seller, id, WH);
        bytes memory sig = sign(SELLER_KEY, digest(m));
        vm.expectRevert(tooLate(time));
        market.report(m, sig);
    }
}
