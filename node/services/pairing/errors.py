"""Errors of pairing.

Refused (node.errors)
└── PairingRefused         refused        the exchange ends or does not begin; the code tells why
    ├── WrongCode          wrong_code     one of a few tries is used up
    ├── CodeLocked         code_locked    too many wrong tries: only a new code helps
    ├── NoCode             no_code        there is no valid code: none was made, it has expired, or it was used
    ├── AlreadyPaired      already_paired the gateway has an owner
    │   └── PairingWaits   pairing_waits  a home's claim is not on the chain yet
    ├── AnotherPlace       another_place  the other side is on another chain or registry
    ├── UnknownAttempt     unknown_attempt no exchange of this number with this peer
    ├── MalformedMessage   malformed      not a message of this exchange
    └── ForgedMessage      forged         does not open, or is not by whom it says: somebody is between the two
InvalidInput (node.errors)
└── BadCode                bad_code       the text is not a pairing code: a typing error
UsageError (node.errors)
└── IllegalMove            illegal_move   this cannot be done in the present state
FatalError (node.errors)
└── StateDamaged           state_damaged  the saved state is not what was saved
"""

from __future__ import annotations

from datetime import UTC, datetime

from node.errors import FatalError, InvalidInput, Refused, UsageError

__all__ = [
    "AlreadyPaired",
    "AnotherPlace",
    "BadCode",
    "CodeLocked",
    "ForgedMessage",
    "IllegalMove",
    "MalformedMessage",
    "NoCode",
    "PairingRefused",
    "PairingWaits",
    "StateDamaged",
    "UnknownAttempt",
    "WrongCode",
]

_NEW_CODE = "Make a new code: press the gateway's button or run `wattpact pair new` there."


class PairingRefused(Refused):
    """The exchange ends here or does not begin."""

    default_remedy = "Start the pairing again on both sides."


class WrongCode(PairingRefused):
    """The two sides do not have the same code."""

    code = "wrong_code"
    default_remedy = "Compare the code with the one that the gateway shows, and try again."

    def __init__(self, message: str, tries_left: int) -> None:
        super().__init__(message)
        self.tries_left = tries_left


class CodeLocked(PairingRefused):
    """Too many wrong tries."""

    code = "code_locked"
    default_remedy = _NEW_CODE


class NoCode(PairingRefused):
    """There is no code that could be used."""

    code = "no_code"
    status = 410
    default_remedy = _NEW_CODE


class AlreadyPaired(PairingRefused):
    """The gateway has an owner."""

    code = "already_paired"
    status = 409
    default_remedy = "Its owner ends the pairing with `wattpact unpair`; `wattpact gateway reset` erases its keys."


class PairingWaits(AlreadyPaired):
    """A home has claimed the gateway, and the chain does not show it yet. `until`: seconds UTC."""

    code = "pairing_waits"
    default_remedy = (
        "Nothing, if the home says that it is pairing. Otherwise make a new code after that time, or"
        " `wattpact gateway reset`, which frees the gateway at once and erases its keys."
    )

    def __init__(self, until: int) -> None:
        super().__init__(f"a pairing waits for the chain until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC")
        self.until = until


class AnotherPlace(PairingRefused):
    """Home and gateway are set up for different chains or registries."""

    code = "another_place"
    status = 422
    default_remedy = "Compare `chain.id` and `chain.registry` in the two configurations."


class UnknownAttempt(PairingRefused):
    """No exchange of this number is under way with this peer."""

    code = "unknown_attempt"
    status = 404


class MalformedMessage(PairingRefused):
    """The bytes are not a message of this exchange."""

    code = "malformed"
    status = 422
    default_remedy = "Use the same version of the program on both sides."


class ForgedMessage(PairingRefused):
    """A message that only the other side could have made was made by somebody else."""

    code = "forged"
    default_remedy = "Look who else is in the network, then pair again with a new code."


class BadCode(InvalidInput):
    """The text is not a pairing code."""

    code = "bad_code"
    default_remedy = "Type the code again as the gateway shows it, or scan its QR code."


class IllegalMove(UsageError):
    """The machine's table has no such move."""

    code = "illegal_move"
    status = 409


class StateDamaged(FatalError):
    """The saved state is not what was saved."""

    code = "state_damaged"
    default_remedy = "Delete the saved pairing state and make a new code; a finished pairing is on the chain."
