// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../net/NetBase.sol";
import { NetHandler } from "./NetHandler.sol";

/// @dev contracts.md, Proof: a net batch never takes more than the mandate, each member once a period; what is taken is
/// paid out or given back; escrow never short.
contract NetInvariants is NetBase {
    NetHandler private handler;

    function setUp() public override {
        actors();
        token = newToken();
        net = INetSettlement(create("NetSettlement.sol:NetSettlement", abi.encode(token, WAIT, anchors, WINDOW)));
        handler = new NetHandler(net, token);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory actions = new bytes4[](8);
        actions[0] = NetHandler.allow.selector;
        actions[1] = NetHandler.netOut.selector;
        actions[2] = NetHandler.release.selector;
        actions[3] = NetHandler.demand.selector;
        actions[4] = NetHandler.voidIt.selector;
        actions[5] = NetHandler.moveMoney.selector;
        actions[6] = NetHandler.time.selector;
        actions[7] = NetHandler.netOut.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), actions);
    }

    /// forge-config: default.invariant.runs = 8
    /// forge-config: long.invariant.runs = 128
    function invariant_net() public view {
        check(handler.wrongly() == 0, "a step worked that must not");
        check(handler.taken() == handler.credited() + handler.returned() + handler.waiting(), "conservation");
        uint256 owed = handler.waiting();
        for (uint256 i; i < 5; ++i) {
            address account = i == 4 ? vm.addr(OPERATOR_KEY) : handler.person(i);
            Member memory m = net.memberOf(vm.addr(OPERATOR_KEY), account);
            owed += uint256(m.balance) + m.pending;
        }
        check(token.balanceOf(address(net)) == owed, "escrow");
    }
}
