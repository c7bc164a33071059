// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IConsentRegistry, ShortGrant } from "../interfaces/IConsentRegistry.sol";
import { Calldata } from "./Calldata.sol";
import { Errors } from "./Errors.sol";
import { Messages } from "./Messages.sol";

/// @title Calls that bring a message
/// @dev A batch carries them as they would be made singly, so that batches run no code of their own. What is no message
/// is not let in: a batch inside a batch would be judged with the wrong amount of gas.
library Calls {
    uint256 private constant WORD = 32;

    /// @notice Whether this is a call of a function that takes a message with signatures.
    function bringsMessage(bytes calldata call) internal pure returns (bool) {
        bytes4 selector = bytes4(call);
        return selector == IConsentRegistry.grantShort.selector || selector == IConsentRegistry.commit.selector
            || selector == IConsentRegistry.revoke.selector || selector == IConsentRegistry.grant.selector
            || selector == IConsentRegistry.registerKey.selector || selector == IConsentRegistry.registerStream.selector
            || selector == IConsentRegistry.setWriter.selector || selector == IConsentRegistry.pairDevice.selector
            || selector == IConsentRegistry.unpairDevice.selector
            || selector == IConsentRegistry.transferStream.selector;
    }

    /// @notice The EIP-712 struct hash of the message in a call. Reverts when the call is too short or brings none.
    function structHash(bytes calldata call) internal pure returns (bytes32) {
        bytes4 selector = bytes4(call);
        bytes calldata data = call[4:];
        if (selector == IConsentRegistry.grantShort.selector) {
            bytes32[] calldata sids = _array(data, 7); // which there would not be behind less than the struct
            return Messages.hash(Calldata.shortGrant(data), sids);
        }
        if (selector == IConsentRegistry.grant.selector) return _withStreams(Messages.GRANT, data, 10, 3);
        if (selector == IConsentRegistry.unpairDevice.selector) {
            return _withStreams(Messages.UNPAIR_DEVICE, data, 5, 2);
        }
        // The other structs are value types only: their encoding is what is hashed. What follows is cut off.
        (bytes32 typeHash, uint256 words) = _static(selector);
        return keccak256(bytes.concat(typeHash, data[:words * WORD]));
    }

    /// @dev The hash of a struct of `words` fields of which number `place` is the `bytes32[]`: the array's offset gives
    /// way to the hash of its elements.
    function _withStreams(bytes32 typeHash, bytes calldata data, uint256 words, uint256 place)
        private
        pure
        returns (bytes32)
    {
        bytes calldata body = data[_word(data, 0):];
        bytes32 streams = Messages.hash(_array(body, place));
        uint256 head = place * WORD;
        return keccak256(bytes.concat(typeHash, body[:head], streams, body[head + WORD:words * WORD]));
    }

    function _static(bytes4 selector) private pure returns (bytes32 typeHash, uint256 words) {
        if (selector == IConsentRegistry.registerStream.selector) return (Messages.REGISTER_STREAM, 8);
        if (selector == IConsentRegistry.setWriter.selector) return (Messages.SET_WRITER, 6);
        if (selector == IConsentRegistry.pairDevice.selector) return (Messages.PAIR_DEVICE, 4);
        if (selector == IConsentRegistry.revoke.selector) return (Messages.REVOKE, 3);
        if (selector == IConsentRegistry.registerKey.selector) return (Messages.REGISTER_KEY, 5);
        if (selector == IConsentRegistry.commit.selector) return (Messages.STREAM_COMMIT, 3);
        if (selector == IConsentRegistry.transferStream.selector) return (Messages.TRANSFER_STREAM, 5);
        revert Errors.UnknownCall(selector);
    }

    /// @dev Word number `place`.
    function _word(bytes calldata data, uint256 place) private pure returns (uint256) {
        return uint256(bytes32(data[place * WORD:(place + 1) * WORD]));
    }

    /// @dev The array whose offset is word number `place`. Reverts unless all of it lies within.
    function _array(bytes calldata data, uint256 place) private pure returns (bytes32[] calldata) {
        uint256 start = _word(data, place);
        uint256 length = uint256(bytes32(data[start:start + WORD]));
        return Calldata.words(data[start + WORD:start + WORD + length * WORD]);
    }
}
