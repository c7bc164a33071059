// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { INetSettlement } from "../../src/interfaces/INetSettlement.sol";
import "../VaultBase.sol";

/// @dev What a deployer can get wrong for good: nothing of it can be changed afterwards.
contract ConstructorsTest is VaultBase {
    uint32 private constant WINDOW = 3 days;

    function setUp() public {
        actors();
        token = new TestToken();
    }

    function refuse(string memory what, bytes memory arguments, bytes4 why) private {
        expectNoCreation(bytes.concat(vm.getCode(what), arguments), abi.encodeWithSelector(why));
    }

    function test_aMarketHasATokenAndAnchors() public {
        refuse("Market.sol:Market", abi.encode(address(0), WAIT, anchors), CommonErrors.ZeroAddress.selector);
        refuse("Market.sol:Market", abi.encode(token, WAIT, address(0)), CommonErrors.ZeroAddress.selector);
    }

    function test_aNetSettlementHasATokenAndAnchors() public {
        string memory net = "NetSettlement.sol:NetSettlement";
        refuse(net, abi.encode(address(0), WAIT, anchors, WINDOW), CommonErrors.ZeroAddress.selector);
        refuse(net, abi.encode(token, WAIT, address(0), WINDOW), CommonErrors.ZeroAddress.selector);
    }

    /// @dev Attack: an operator that has its deposit out before anybody can show that it is forfeit. The last demand is
    /// made at the end of the window and may be answered for a day.
    function test_attack_aWaitThatEndsBeforeTheLastDemand() public {
        string memory net = "NetSettlement.sol:NetSettlement";
        bytes4 bad = MarketErrors.BadTerms.selector;
        refuse(net, abi.encode(token, WINDOW, anchors, WINDOW), bad);
        refuse(net, abi.encode(token, WINDOW + 1 days, anchors, WINDOW), bad);
        refuse(net, abi.encode(token, type(uint32).max, anchors, type(uint32).max), bad);
        address made = create(net, abi.encode(token, WINDOW + 1 days + 1, anchors, WINDOW));
        check(INetSettlement(made).disputeWindow() == WINDOW, "window");
        check(INetSettlement(made).anchors() == address(anchors), "anchors");
    }

    function test_allowancesAreOfAMarket() public {
        expectNoCreation(bytes.concat(vm.getCode("Allowances.sol:Allowances"), abi.encode(address(0))), "");
    }
}
