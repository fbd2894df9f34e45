"""Which symbols there are, when settings, people and the provider each have a say.

The newest decision counts. A list in the settings (SYMBOLS, or else the file SYMBOLS_FILE) is a
decision when it changes, not when a process starts again with the same one; so what people chose
since stands until then. Without either it is what the provider offers.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from shared.contracts.errors import InvalidSetting, UnknownSymbol
from shared.contracts.records import Universe
from shared.contracts.symbols import Symbol

_HASH_BYTES: Final = 8

Symbols = tuple[Symbol, ...]


def at_start(stored: Universe | None, named: Universe, listed: Symbols | None) -> Universe:
    """The universe of a scheduler that starts. `named` is the one that its settings and provider
    make, and `listed` the list in the settings, if there is one.
    """
    if stored is not None and stored.chosen_by == "people" and stored.overrules == _name(listed):
        named = replace(
            named, symbols=stored.symbols, chosen_by="people", overrules=stored.overrules
        )
    return succeeding(stored, named)


def relisted(stored: Universe, listed: Symbols) -> Universe:
    """The universe once the list in the settings has changed to `listed`."""
    wanted = replace(stored, symbols=listed, chosen_by="settings", overrules=None)
    return succeeding(stored, wanted)


def chosen(
    stored: Universe,
    listed: Symbols | None,
    *,
    symbols: Sequence[Symbol] | None = None,
    add: Sequence[Symbol] = (),
    remove: Sequence[Symbol] = (),
) -> Universe:
    """The universe once people have chosen these symbols, or those there are with more or less.

    Raises:
        UnknownSymbol: one is to be removed that is not there.
        InvalidSetting: none would be left.
    """
    wanted = dict.fromkeys([*(stored.symbols if symbols is None else symbols), *add])
    absent = [symbol for symbol in remove if symbol not in wanted]
    if absent:
        raise UnknownSymbol(f"not in the universe: {', '.join(absent[:10])}")
    left = tuple(symbol for symbol in wanted if symbol not in set(remove))
    if not left:
        raise InvalidSetting("symbols=[] is not allowed: name at least one symbol")
    universe = replace(stored, symbols=left, chosen_by="people", overrules=_name(listed))
    return succeeding(stored, universe)


def succeeding(stored: Universe | None, wanted: Universe) -> Universe:
    """`wanted` as the next revision; the stored one itself if nothing is different."""
    if stored is None:
        return replace(wanted, revision=1)
    same = replace(wanted, revision=stored.revision) == stored
    return stored if same else replace(wanted, revision=stored.revision + 1)


def _name(listed: Symbols | None) -> str | None:
    """A short name for this very list."""
    if listed is None:
        return None
    return hashlib.blake2b(" ".join(listed).encode(), digest_size=_HASH_BYTES).hexdigest()
