// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TestToken } from "../mocks/Tokens.sol";
import "../net/NetBase.sol";

/// @dev An operator that nets any amounts on any day, members that change their mandates, and anybody who releases.
contract NetHandler is NetBase {
    uint256 internal constant PEOPLE = 4;

    uint256[] public keys;
    uint24[] public periods;
    mapping(uint24 => Net) private _nets;
    mapping(uint24 => bytes) private _credits;
    mapping(uint24 => bytes) private _debits;
    mapping(address => uint88) public most;
    mapping(address => uint32) public nonceOf;
    mapping(address => mapping(uint24 => uint256)) public timesDebited;

    uint256 public waiting;
    uint256 public taken;
    uint256 public credited;
    uint256 public returned;
    uint256 public wrongly;

    constructor(INetSettlement net_, TestToken token_) {
        (net, vault, token, domainName) = (net_, net_, token_, "Wattpact NetSettlement");
        operator = vm.addr(OPERATOR_KEY);
        put(OPERATOR_KEY, 100_000);
        for (uint256 i; i < PEOPLE; ++i) {
            keys.push(0x1000 + i);
            put(keys[i], 50_000);
        }
    }

    function setUp() public override { }

    function person(uint256 i) public view returns (address) {
        return vm.addr(keys[i % PEOPLE]);
    }

    function allow(uint8 who, uint16 amount) external {
        address account = person(who);
        NetMandate memory m = NetMandate(account, operator, amount, soon() + 90 days, ++nonceOf[account], soon());
        net.setMandate(m, sign(keys[who % PEOPLE], digest(m)));
        most[account] = amount;
    }

    /// @dev One or two debtors, one or two creditors; sometimes a sum that is not zero or a member twice.
    function netOut(uint8 split, uint16 a, uint16 b, uint8 past, bool crooked) external {
        uint256 first = split % PEOPLE;
        bytes memory d = entry(person(first), a);
        bytes memory c;
        uint256 sum = a;
        if (first + 1 < PEOPLE && split & 0x40 != 0) {
            d = bytes.concat(d, entry(person(first + 1), b));
            sum += b;
        }
        uint256 creditor = d.length == 32 ? (first == 0 ? 2 : 0) : (first + 1) % PEOPLE;
        if (crooked) ++sum;
        c = entry(person(creditor), uint88(sum));
        NetBatch memory m = aBatch(keccak256(abi.encode(split)), d, c);
        m.period -= past % 3;
        try net.settleNet(m, d, c, sign(OPERATOR_KEY, digest(m))) {
            if (crooked) ++wrongly;
            note(m, d, c, sum, first, a, b);
        } catch { }
    }

    function note(NetBatch memory m, bytes memory d, bytes memory c, uint256 sum, uint256 first, uint88 a, uint88 b)
        private
    {
        if (a > most[person(first)] || (d.length == 32 && b > most[person(first + 1)])) ++wrongly;
        if (++timesDebited[person(first)][m.period] > 1) ++wrongly;
        if (d.length == 32 && ++timesDebited[person(first + 1)][m.period] > 1) ++wrongly;
        periods.push(m.period);
        _nets[m.period] = Net(m.root, m.debits, m.credits, uint40(block.timestamp));
        (_credits[m.period], _debits[m.period]) = (c, d);
        waiting += sum;
        taken += sum;
    }

    function sumOf(bytes memory entries) private pure returns (uint256 sum) {
        for (uint256 i = 16; i <= entries.length; i += 16) {
            uint256 word;
            assembly {
                word := mload(add(entries, i))
            }
            sum += uint96(word);
        }
    }

    function release(uint256 which) external {
        if (periods.length == 0) return;
        uint24 period = periods[which % periods.length];
        Net memory n = _nets[period];
        try net.releaseNet(operator, period, n, _credits[period]) {
            if (block.timestamp < n.settledAt + WINDOW) ++wrongly;
            uint256 sum = sumOf(_credits[period]);
            waiting -= sum;
            credited += sum;
        } catch { }
    }

    /// @dev A debtor asks; nobody can show lines here, so after a day the batch is void.
    function demand(uint256 which, uint8 who) external {
        if (periods.length == 0) return;
        uint24 period = periods[which % periods.length];
        Demand memory m = Demand(person(who), operator, period, soon());
        try net.demandLines(m, _nets[period], _debits[period], 0, sign(keys[who % PEOPLE], digest(m))) { } catch { }
    }

    function voidIt(uint256 which) external {
        if (periods.length == 0) return;
        uint24 period = periods[which % periods.length];
        try net.voidUnshown(operator, period, _nets[period], _debits[period], 0) {
            uint256 sum = sumOf(_debits[period]);
            waiting -= sum;
            returned += sum;
        } catch { }
    }

    function moveMoney(uint8 who, uint16 amount, uint8 how) external {
        uint256 key = who % 5 == 4 ? OPERATOR_KEY : keys[who % PEOPLE];
        if (how % 3 == 0) {
            put(key, amount);
        } else if (how % 3 == 1) {
            Withdraw memory m = Withdraw(vm.addr(key), operator, amount, freshNonce(), soon());
            try net.withdraw(m, sign(key, digest(m))) { } catch { }
        } else {
            try net.takeOut(operator, vm.addr(key)) { } catch { }
        }
    }

    function time(uint24 seconds_) external {
        pass(seconds_ % 2 days);
    }
}
