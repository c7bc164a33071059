// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Base } from "../Base.sol";
import { Handler } from "./Handler.sol";

/// @dev contracts.md, Proof: nobody but the owner ever causes a live grant; a revoked or expired grant is never live,
/// whatever order messages arrive in; a nonce is used once.
contract ConsentInvariants is Base {
    Handler private handler;

    function setUp() public override {
        super.setUp();
        handler = new Handler(registry);
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
        bytes4[] memory actions = new bytes4[](12);
        actions[0] = Handler.signGrant.selector;
        actions[1] = Handler.signOwnGrant.selector;
        actions[2] = Handler.bringGrant.selector;
        actions[3] = Handler.bringGrantAsCaller.selector;
        actions[4] = Handler.bringBatch.selector;
        actions[5] = Handler.revoke.selector;
        actions[6] = Handler.replayRevoke.selector;
        actions[7] = Handler.transfer.selector;
        actions[8] = Handler.commit.selector;
        actions[9] = Handler.pass.selector;
        actions[10] = Handler.bringGrantShort.selector;
        actions[11] = Handler.revokeDirect.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), actions);
    }

    /// @dev One campaign for all four: what they say is about the same steps.
    function invariant_consent() public view {
        livenessIsWhatTheSetOfMessagesSays();
        onlyTheOwnersSignatureOrCallMadeIt();
        aNonceIsUsedOnce();
        epochsHaveNoGaps();
    }

    function livenessIsWhatTheSetOfMessagesSays() private view {
        uint40[3] memory times = [uint40(block.timestamp), uint40(block.timestamp) - 700, uint40(block.timestamp) + 700];
        for (uint256 i; i < handler.kept_(); ++i) {
            (bytes32 id,,) = handler.keptAt(i);
            for (uint256 s; s < 3; ++s) {
                bytes32 sid = handler.sids(s);
                for (uint256 t; t < 3; ++t) {
                    bool expected = handler.shouldBeLive(i, sid, times[t]);
                    check(registry.isLive(id, sid, times[t]) == expected, expected ? "should be live" : "must not be");
                }
            }
        }
    }

    function onlyTheOwnersSignatureOrCallMadeIt() private view {
        for (uint256 i; i < handler.kept_(); ++i) {
            (bytes32 id, address owner_, bool byOwner) = handler.keptAt(i);
            for (uint256 s; s < 3; ++s) {
                bytes32 sid = handler.sids(s);
                if (!live(id, sid)) continue;
                check(registry.streams(sid).owner == owner_, "of the present owner");
                check(byOwner, "signed by the owner, or brought by the owner in person");
            }
        }
    }

    function aNonceIsUsedOnce() private view {
        check(handler.mostUses() <= 1, "once");
    }

    function epochsHaveNoGaps() private view {
        for (uint256 s; s < 3; ++s) {
            bytes32 sid = handler.sids(s);
            check(registry.streams(sid).epoch == handler.epochOf(sid), "epoch");
        }
    }
}
