// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Grant, Revoke } from "../src/interfaces/IConsentRegistry.sol";
import { Base, Errors, Events } from "./Base.sol";
import { Log } from "./Vm.sol";

/// @dev {revoke} by the caller: the same state and the same events.
contract RevokeDirectTest is Base {
    bytes32 private sid;
    bytes32 private other;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
        other = registerStream("other");
    }

    function test_theOwnerEndsOneStream() public {
        bytes32 id = give(aGrant(two(sid, other)));
        vm.expectEmit(address(registry));
        emit Events.Revoked(id, owner, sid);
        vm.prank(owner);
        registry.revokeDirect(id, sid);
        check(!live(id, sid) && live(id, other), "one");
        check(registry.grantOf(id, sid).reader == address(0), "the slot is free");
    }

    function test_theReaderEndsOneStream() public {
        bytes32 id = give(aGrant(two(sid, other)));
        vm.expectEmit(address(registry));
        emit Events.Revoked(id, reader, sid);
        vm.prank(reader);
        registry.revokeDirect(id, sid);
        check(!live(id, sid) && live(id, other), "one");
    }

    function test_aheadOfTheGrantByEitherForOneOrAll() public {
        for (uint256 which; which < 4; ++which) {
            Grant memory m = aGrant(two(sid, other));
            bytes32 id = digest(m);
            bool all = which & 2 != 0;
            vm.prank(which & 1 == 0 ? owner : reader);
            registry.revokeDirect(id, all ? bytes32(0) : sid);
            give(m);
            check(!live(id, sid), "never live");
            check(live(id, other) == !all, "the other stream only if it was not meant");
        }
    }

    function test_aStrangerToAKnownGrantIsRefused() public {
        bytes32 id = give(aGrant(sid));
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Errors.NotParty.selector, id, stranger));
        registry.revokeDirect(id, sid);
        vm.prank(stranger);
        registry.revokeDirect(id, 0);
        check(live(id, sid), "live");
    }

    /// @dev Any account, any stream, known or not, in any state: both functions leave the same behind.
    function testFuzz_doesWhatRevokeDoes(uint8 who, uint8 before, bool all, bool known) public {
        Grant memory m = aGrant(two(sid, other));
        bytes32 id = digest(m);
        if (known) give(m);
        if (before % 3 == 0) revokeBy(OWNER_KEY, id, sid);
        if (before % 3 == 1) revokeBy(READER_KEY, id, 0);
        address[3] memory people = [owner, reader, stranger];
        address account = people[who % 3];
        bytes32 meant = all ? bytes32(0) : sid;

        uint256 state = vm.snapshotState();
        (bool okLong, bytes32 logsLong, bytes32 stateLong) =
            outcome(account, id, abi.encodeCall(registry.revoke, (Revoke(account, id, meant), "")));
        vm.revertToState(state);
        (bool ok, bytes32 logs, bytes32 left) = outcome(account, id, abi.encodeCall(registry.revokeDirect, (id, meant)));
        check(ok == okLong && logs == logsLong && left == stateLong, "the same");
    }

    function outcome(address account, bytes32 id, bytes memory data) private returns (bool ok, bytes32, bytes32) {
        vm.recordLogs();
        vm.prank(account);
        (ok,) = address(registry).call(data);
        bytes32 logs = keccak256(abi.encode(vm.getRecordedLogs()));
        bytes32 left = keccak256(
            abi.encode(
                registry.grantOf(id, sid),
                registry.grantOf(id, other),
                registry.isVoided(account, id, sid),
                registry.isVoided(account, id, 0),
                live(id, sid),
                live(id, other)
            )
        );
        return (ok, logs, left);
    }
}
