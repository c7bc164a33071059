// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import { IVault } from "./IVault.sol";
import {
    Cancel,
    Confirm,
    Cure,
    Dispute,
    Evidence,
    IssueClaim,
    Match,
    Order,
    Payment,
    Provision,
    Remind,
    Ruling,
    Terms,
    Trade
} from "./MarketTypes.sol";

/// @title Market
/// @notice Settles trades of energy between accounts that an operator matched: the contract, what was delivered, the
/// payment, and what follows when it does not come. Every step is a message signed by the account that it binds, and
/// anybody may bring it. The market has no owner, no role and no upgrade; an operator can do no more than match orders
/// that name it, within their limits.
/// @dev Each function that changes a contract starts from one state, which its documentation names; from any other it
/// reverts with WrongState. Orders are signed for one contract address: an order for this one cannot be netted as well.
interface IMarket is IVault {
    /* TERMS AND ORDERS */

    /// @notice Publishes terms, so that orders can name them. Anybody may: orders count for the operator in them only.
    /// @return id `keccak256(abi.encode(body))`, to be named in orders.
    function publishTerms(Terms calldata body) external returns (bytes32 id);

    /// @notice Makes a contract out of an offer and a request: None to Matched.
    /// @dev Checks the orders against the match: who, terms, partner, price, time, what is left. Reserves the amount
    /// from the buyer's balance where the terms want it, or where the buyer has paid nothing with this operator yet.
    /// @return contractId The EIP-712 digest of the match.
    function makeContract(
        Match calldata m,
        Order calldata offer,
        Order calldata request,
        bytes calldata operatorSig,
        bytes calldata offerSig,
        bytes calldata requestSig
    ) external returns (bytes32 contractId);

    /// @notice Takes an order back, also one that nobody has seen yet. Repeatable, final.
    function cancelOrder(Cancel calldata m, bytes calldata sig) external;

    /// @notice Ends a contract before the start, or when nothing was reported within the start grace: Matched to
    /// Cancelled.
    /// @param otherSig The other partner's signature on the same message; empty: none, and the terms' fee is due.
    function cancelContract(Cancel calldata m, bytes calldata sig, bytes calldata otherSig) external;

    /// @notice Ends a contract of which nobody ever reported a delivery: Matched to Cancelled.
    function lapse(address operator, bytes32 contractId) external;

    /* DELIVERY */

    /// @notice The first partner's report: Matched to Reported.
    function report(Provision calldata m, bytes calldata sig) external;

    /// @notice The other partner's: Reported to Delivered if the two agree, otherwise to Contested.
    function answer(Provision calldata m, bytes calldata sig) external;

    /// @notice The only report stands when the other did not come in time: Reported to Delivered.
    function stand(address operator, bytes32 contractId) external;

    /// @notice The smaller of two reports counts when no meter reading came in time: Contested to Delivered.
    function settleSmaller(address operator, bytes32 contractId) external;

    /// @notice A meter's counters decide between two reports: Contested to Delivered.
    /// @param order The offer or the request of the contract, which names the meter.
    function measure(Match calldata m, Order calldata order, Evidence calldata evidence) external;

    /* PAYMENT */

    /// @notice Pays contracts, all or none: Delivered to Paid.
    function pay(Payment calldata m, bytes calldata sig) external;

    /// @notice The seller has seen it: Paid to Confirmed.
    function confirm(Confirm calldata m, bytes calldata sig) external;

    /* CLAIMS */

    /// @notice Reminds the buyer; three times, each after the agreed wait. Stays Delivered.
    function remind(Remind calldata m, bytes calldata sig) external;

    /// @notice Claims amount and penalty after three reminders, takes what the debtor has here and excludes it from new
    /// contracts of this operator: Delivered to Claimed.
    function issueClaim(IssueClaim calldata m, bytes calldata sig) external;

    /// @notice The debtor pays the rest of a claim from its balance: Claimed to Cured.
    function cure(Cure calldata m, bytes calldata sig) external;

    /// @notice The debtor contests a claim, once, within the dispute window: Claimed to Disputed.
    function dispute(Dispute calldata m, bytes calldata sig) external;

    /// @notice The arbiter decides, never above the claim: Disputed to Claimed, or to Resolved if nothing is owed.
    function rule(Ruling calldata m, bytes calldata sig) external;

    /// @notice A meter decides a dispute where the seller's word alone stood: Disputed to Claimed, or to Resolved.
    /// @dev Not where the buyer reported too: its own word cannot be undercut by its own meter.
    function measureClaim(Match calldata m, Order calldata order, Evidence calldata evidence) external;

    /// @notice Nobody decided in time, so the claim stands: Disputed to Claimed.
    function closeDispute(address operator, bytes32 contractId) external;

    /// @notice Pays the seller what is held, and what the debtor has by now, once the claim is final. Claimed to
    /// Resolved when all is paid; else it stays Claimed, the debtor stays excluded, and this may be called again.
    function collect(address operator, bytes32 contractId) external;

    /* VIEWS */

    /// @notice Where keys stand that sign orders for accounts.
    function anchors() external view returns (address);

    /// @notice Terms by id; all zero where unknown.
    function termsOf(bytes32 id) external view returns (Terms memory);

    /// @notice The state of a contract.
    function contractOf(address operator, bytes32 contractId) external view returns (Trade memory);

    /// @notice How much of an order is filled.
    function filledOf(bytes32 order) external view returns (uint64 wh);

    /// @notice Whether an account took an order back.
    function isCancelled(address account, bytes32 order) external view returns (bool);
}
