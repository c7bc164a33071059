"""BIP-39 mnemonics: the words that everything a node owns is derived from.

English word list only: one list means that no phrase is ambiguous. Error texts never repeat a word.
Source: BIP-39, through the reference implementation.
"""

from __future__ import annotations

from functools import cache

from mnemonic import Mnemonic

from keys.errors import PhraseError

__all__ = ["WORD_COUNTS", "check_mnemonic", "generate_mnemonic", "seed_from_mnemonic"]

WORD_COUNTS = (12, 15, 18, 21, 24)


@cache
def _english() -> Mnemonic:
    return Mnemonic("english")


@cache
def _known() -> frozenset[str]:
    return frozenset(_english().wordlist)


def generate_mnemonic(words: int = 24) -> str:
    """A new phrase from the system's random source; 24 words carry 256 bits."""
    if words not in WORD_COUNTS:
        raise PhraseError(f"a phrase has {', '.join(map(str, WORD_COUNTS))} words, not {words}")
    return str(_english().generate(words * 32 // 3))


def check_mnemonic(phrase: str) -> str:
    """The phrase in its one normal form (NFKD, lower case, single spaces); PhraseError says what is wrong and where."""
    words = Mnemonic.normalize_string(phrase).lower().split()
    if len(words) not in WORD_COUNTS:
        raise PhraseError(f"a phrase has {', '.join(map(str, WORD_COUNTS))} words, this one has {len(words)}")
    for position, word in enumerate(words, 1):
        if word not in _known():
            raise PhraseError(f"word {position} is not in the English BIP-39 list")
    normal = " ".join(words)
    if not _english().check(normal):
        raise PhraseError("the checksum of the phrase is wrong: a word is mistaken or the order is")
    return normal


def seed_from_mnemonic(phrase: str, passphrase: str = "") -> bytes:
    """The 64-byte BIP-39 seed. A different passphrase gives a different, equally valid seed: there is no wrong one."""
    return bytes(Mnemonic.to_seed(check_mnemonic(phrase), passphrase))
