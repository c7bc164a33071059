// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "../../src/interfaces/INetSettlement.sol";
import { Order } from "../../src/interfaces/MarketTypes.sol";
import "../VaultBase.sol";

/// @dev A net settlement with three members: the buyer owes 600, the seller gets 400, a third gets 200.
abstract contract NetBase is VaultBase {
    uint256 internal constant THIRD_KEY = 0x333;
    uint32 internal constant WINDOW = 3 days;
    uint24 internal constant TODAY = uint24(NOW / 1 days);

    INetSettlement internal net;
    address internal third;
    Net internal settled;
    bytes internal debits;
    bytes internal credits;
    Line[] internal lines;

    function setUp() public virtual {
        actors();
        third = vm.addr(THIRD_KEY);
        token = newToken();
        net = INetSettlement(create("NetSettlement.sol:NetSettlement", abi.encode(token, WAIT, anchors, WINDOW)));
        (vault, domainName) = (net, "Wattpact NetSettlement");
        put(OPERATOR_KEY, 1_000);
        put(BUYER_KEY, 10_000);
        put(SELLER_KEY, 10_000);
        put(THIRD_KEY, 10_000);
        mandate(BUYER_KEY, 1_000, 1);
    }

    function newToken() internal virtual returns (TestToken) {
        return new TestToken();
    }

    /* DIGESTS */

    function digest(NetMandate memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "NetMandate(address account,address operator,uint88 maxDebitPerPeriod,uint40 validUntil,uint32 nonce,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(NetBatch memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "NetBatch(address operator,uint24 period,bytes32 root,bytes32 debits,bytes32 credits,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Demand memory m) internal view returns (bytes32) {
        bytes32 head = keccak256("Demand(address account,address operator,uint24 period,uint40 deadline)");
        return typed(keccak256(abi.encode(head, m)));
    }

    function digest(Order memory m) internal view returns (bytes32) {
        bytes32 head = keccak256(
            "Request(address account,address operator,bytes32 terms,address partner,address device,uint64 wh,uint88 price,uint40 start,uint40 end,uint256 nonce,uint40 deadline)"
        );
        return typed(keccak256(abi.encode(head, m)));
    }

    /* MESSAGES */

    function mandate(uint256 key, uint88 most, uint32 nonce) internal {
        NetMandate memory m = NetMandate(vm.addr(key), operator, most, NOW + 365 days, nonce, soon());
        net.setMandate(m, sign(key, digest(m)));
    }

    function entry(address account, uint88 amount) internal view returns (bytes memory) {
        return abi.encodePacked(net.numberOf(operator, account), uint96(amount));
    }

    function aBatch(bytes32 root, bytes memory d, bytes memory c) internal view returns (NetBatch memory) {
        uint24 today = uint24(block.timestamp / 1 days);
        return NetBatch(operator, today, root, keccak256(d), keccak256(c), soon());
    }

    function settle(bytes32 root, bytes memory d, bytes memory c) internal {
        NetBatch memory m = aBatch(root, d, c);
        net.settleNet(m, d, c, sign(OPERATOR_KEY, digest(m)));
        settled = Net(root, m.debits, m.credits, uint40(block.timestamp));
        (debits, credits) = (d, c);
    }

    function trySettle(bytes memory d, bytes memory c, bytes memory expected) internal {
        NetBatch memory m = aBatch(bytes32(0), d, c);
        bytes memory sig = sign(OPERATOR_KEY, digest(m));
        vm.expectRevert(expected);
        net.settleNet(m, d, c, sig);
    }

    function expectState(uint24 period, NetState state, uint256 demands) internal view {
        (NetState found, uint256 open) = net.netOf(operator, period);
        check(found == state && open == demands, "state of the batch");
    }

    function usual() internal view returns (bytes memory d, bytes memory c) {
        d = entry(buyer, 600);
        c = bytes.concat(entry(seller, 400), entry(third, 200));
    }

    /// @dev Two lines of the buyer, 2,000 Wh at 200 and 1,000 Wh at 200, in a tree of two leaves.
    function settleUsual() internal {
        delete lines;
        lines.push(aLine(2_000, 400, seller));
        lines.push(aLine(1_000, 200, third));
        (bytes memory d, bytes memory c) = usual();
        settle(rootOf(), d, c);
    }

    /* LINES */

    function aRequest(uint64 wh) internal returns (Order memory) {
        return Order({
            account: buyer,
            operator: operator,
            terms: bytes32(0),
            partner: address(0),
            device: address(0),
            wh: wh,
            price: 200,
            start: uint40(block.timestamp),
            end: uint40(block.timestamp) + 900,
            nonce: freshNonce(),
            deadline: soon()
        });
    }

    function aLine(uint64 wh, uint88 amount, address from) internal returns (Line memory line) {
        line.request = aRequest(wh);
        (line.seller, line.wh, line.price, line.amount) = (from, wh, 200, amount);
        line.signature = sign(BUYER_KEY, digest(line.request));
    }

    function leaf(uint256 i) internal view returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(lines[i]))));
    }

    function rootOf() internal view returns (bytes32) {
        (bytes32 a, bytes32 b) = (leaf(0), leaf(1));
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function path(uint256 i) internal view returns (bytes32[] memory to) {
        to = new bytes32[](1);
        to[0] = leaf(1 - i);
    }

    function expectSolvent(uint256 waiting) internal view {
        uint256 owed = waiting;
        address[4] memory all = [operator, buyer, seller, third];
        for (uint256 i; i < 4; ++i) {
            owed += uint256(balance(all[i])) + net.memberOf(operator, all[i]).pending;
        }
        check(token.balanceOf(address(net)) == owed, "solvent");
    }
}
