"""All checks, in the order of the report. Each is a function of the evidence alone."""

from __future__ import annotations

from node.app.demo.checks.access import (
    a_keys_after_revocation,
    a_reads_its_slots,
    b_expired_by_itself,
    b_keys_after_end,
    b_reads_its_slots,
    c_reads_its_slots,
    d_keys_open_nothing,
    d_reads_nothing,
    history_complete,
    readers_change_by_consent,
    rekey_in_time,
)
from node.app.demo.checks.base import Check, CheckFunction
from node.app.demo.checks.chain import (
    commit_sizes,
    commits_match_chain,
    consent_by_wallet,
    gas_is_recorded,
    pairing_on_chain,
    revocation_survives_reorg,
    streams_registered,
)
from node.app.demo.checks.continuity import (
    chain_of_envelopes,
    in_time,
    nothing_lost_or_doubled,
    nothing_readable_on_the_wire,
    outages_were_real,
    rebuilds_equal,
)
from node.app.demo.checks.settlement import (
    deliveries_are_measured,
    matches_are_within_limits,
    minted_from_readings,
    money_is_conserved,
    paid_in_one_batch,
    shares_get_their_part,
)

__all__ = ["CHECKS", "Check", "CheckFunction"]

CHECKS: tuple[CheckFunction, ...] = (
    pairing_on_chain,
    streams_registered,
    consent_by_wallet,
    a_reads_its_slots,
    b_reads_its_slots,
    c_reads_its_slots,
    d_reads_nothing,
    history_complete,
    b_expired_by_itself,
    b_keys_after_end,
    a_keys_after_revocation,
    d_keys_open_nothing,
    readers_change_by_consent,
    rekey_in_time,
    revocation_survives_reorg,
    commits_match_chain,
    commit_sizes,
    nothing_lost_or_doubled,
    outages_were_real,
    chain_of_envelopes,
    nothing_readable_on_the_wire,
    rebuilds_equal,
    gas_is_recorded,
    minted_from_readings,
    shares_get_their_part,
    matches_are_within_limits,
    deliveries_are_measured,
    paid_in_one_batch,
    money_is_conserved,
    in_time,
)
