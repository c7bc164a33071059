// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { Entry, Stream } from "../interfaces/IConsentRegistry.sol";

// Small fields of one thing in one word. The compiler reads and writes the fields of a packed struct one after the other; a
// grant does so for each of its streams.

/// @dev `reader | start << 160 | end << 200 | transfers << 240`: what is stored for each stream of a grant. In a grant
/// on its way the last field means nothing.
type Terms is uint256;

Terms constant NO_TERMS = Terms.wrap(0);

/// @dev `owner | deadline << 160 | purposeTag << 200`; the highest 24 bits mean nothing.
type Origin is uint256;

/// @dev `owner | transferredAt << 160 | transfers << 200 | genesis << 216`: the first slot of a stream.
type Head is uint256;

using TermsWord for Terms global;
using OriginWord for Origin global;
using HeadWord for Head global;

library TermsWord {
    function pack(address reader_, uint40 start_, uint40 end_) internal pure returns (Terms) {
        return Terms.wrap(uint256(uint160(reader_)) | uint256(start_) << 160 | uint256(end_) << 200);
    }

    function withTransfers(Terms terms, uint16 transfers_) internal pure returns (Terms) {
        return Terms.wrap(Terms.unwrap(terms) << 16 >> 16 | uint256(transfers_) << 240);
    }

    /// @dev What an event tells: `start | end << 40 | purposeTag << 80`.
    function brief(Terms terms, uint32 purposeTag) internal pure returns (uint256) {
        return Terms.unwrap(terms) << 16 >> 176 | uint256(purposeTag) << 80;
    }

    function unpack(Terms terms) internal pure returns (Entry memory) {
        return Entry(terms.reader(), terms.start(), terms.end(), uint16(Terms.unwrap(terms) >> 240));
    }

    function reader(Terms terms) internal pure returns (address) {
        return address(uint160(Terms.unwrap(terms)));
    }

    function start(Terms terms) internal pure returns (uint40) {
        return uint40(Terms.unwrap(terms) >> 160);
    }

    function end(Terms terms) internal pure returns (uint40) {
        return uint40(Terms.unwrap(terms) >> 200);
    }

    function isZero(Terms terms) internal pure returns (bool) {
        return Terms.unwrap(terms) == 0;
    }
}

library OriginWord {
    function pack(address owner_, uint40 deadline_, uint32 purposeTag_) internal pure returns (Origin) {
        return Origin.wrap(uint256(uint160(owner_)) | uint256(deadline_) << 160 | uint256(purposeTag_) << 200);
    }

    function owner(Origin origin) internal pure returns (address) {
        return address(uint160(Origin.unwrap(origin)));
    }

    function deadline(Origin origin) internal pure returns (uint40) {
        return uint40(Origin.unwrap(origin) >> 160);
    }

    function purposeTag(Origin origin) internal pure returns (uint32) {
        return uint32(Origin.unwrap(origin) >> 200);
    }
}

library HeadWord {
    function read(Stream storage stream) internal view returns (Head head) {
        assembly ("memory-safe") {
            head := sload(stream.slot)
        }
    }

    function owner(Head head) internal pure returns (address) {
        return address(uint160(Head.unwrap(head)));
    }

    function transferredAt(Head head) internal pure returns (uint40) {
        return uint40(Head.unwrap(head) >> 160);
    }

    function transfers(Head head) internal pure returns (uint16) {
        return uint16(Head.unwrap(head) >> 200);
    }
}
