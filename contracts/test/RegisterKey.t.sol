// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Grant, RegisterKey } from "../src/interfaces/IConsentRegistry.sol";
import { Base, CommonErrors, Errors, Events } from "./Base.sol";

contract RegisterKeyTest is Base {
    bytes32 private sid;
    bytes32 private other;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        sid = registerStream("name");
        other = registerStream("other");
        id = give(aGrant(two(sid, other)));
    }

    function message() private returns (RegisterKey memory) {
        return RegisterKey(reader, id, keccak256("new key"), freshNonce(), NOW + 1 days);
    }

    function refuse(bytes memory why, RegisterKey memory m, bytes32 witness, uint256 key) private {
        bytes memory sig = sign(key, digest(m));
        vm.expectRevert(why);
        registry.registerKey(m, witness, sig);
    }

    function test_theReaderAnnouncesANewKey() public {
        RegisterKey memory m = message();
        bytes memory sig = sign(READER_KEY, digest(m));
        vm.expectEmit(address(registry));
        emit Events.KeyRegistered(id, m.readerKeyHash);
        registry.registerKey(m, sid, sig);
        m = message();
        vm.prank(reader);
        registry.registerKey(m, other, "");
    }

    function test_aStrangersKeyNeverCounts() public {
        RegisterKey memory m = message();
        m.reader = stranger;
        refuse(abi.encodeWithSelector(Errors.NotParty.selector, id, stranger), m, sid, STRANGER_KEY);
        m = message();
        refuse(wrongSigner(reader), m, sid, STRANGER_KEY);
        // The owner chooses the reader, not the reader's key.
        m.reader = owner;
        refuse(abi.encodeWithSelector(Errors.NotParty.selector, id, owner), m, sid, OWNER_KEY);
    }

    function test_onlyForAGrantThatStands() public {
        RegisterKey memory m = message();
        bytes32 nowhere = keccak256("nowhere");
        refuse(abi.encodeWithSelector(Errors.GrantNotStanding.selector, id, nowhere), m, nowhere, READER_KEY);
        revokeBy(OWNER_KEY, id, sid);
        refuse(abi.encodeWithSelector(Errors.GrantNotStanding.selector, id, sid), m, sid, READER_KEY);
        registry.registerKey(m, other, sign(READER_KEY, digest(m)));
        revokeBy(OWNER_KEY, id, 0);
        m = message();
        refuse(abi.encodeWithSelector(Errors.GrantNotStanding.selector, id, other), m, other, READER_KEY);
    }

    function test_notAfterTheEndButBeforeTheStart() public {
        Grant memory g = aGrant(sid);
        (g.start, g.end) = (NOW + 100, NOW + 200);
        id = give(g);
        RegisterKey memory m = message();
        registry.registerKey(m, sid, sign(READER_KEY, digest(m)));
        vm.warp(NOW + 200);
        m = message();
        refuse(abi.encodeWithSelector(Errors.GrantNotStanding.selector, id, sid), m, sid, READER_KEY);
    }

    function test_notAfterATransfer() public {
        transferTo(OWNER_KEY, HEIR_KEY, sid);
        RegisterKey memory m = message();
        refuse(abi.encodeWithSelector(Errors.GrantNotStanding.selector, id, sid), m, sid, READER_KEY);
    }

    function test_onceAndInTime() public {
        RegisterKey memory m = message();
        registry.registerKey(m, sid, sign(READER_KEY, digest(m)));
        refuse(abi.encodeWithSelector(CommonErrors.NonceUsed.selector, reader, m.nonce), m, sid, READER_KEY);
        m.deadline = NOW - 1;
        refuse(abi.encodeWithSelector(CommonErrors.DeadlinePassed.selector, m.deadline), m, sid, READER_KEY);
    }
}
