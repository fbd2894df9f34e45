"""Which models led to the live one, and which of them a rollback makes live again."""

from collections.abc import Sequence

from shared.contracts.errors import NoEarlierModel, UnknownVersion
from shared.contracts.records import ModelRecord


def lineage(kept: Sequence[ModelRecord]) -> list[ModelRecord]:
    """The models that led to the live one, oldest first, itself last.

    `kept` is what was written for one symbol, oldest first. A write of an older model takes back
    all that were made since; so a model that was rolled back from is never gone back to by itself.
    """
    led: list[ModelRecord] = []
    for model in kept:
        while led and led[-1].created_at >= model.created_at:
            led.pop()
        led.append(model)
    return led


def to_live_again(kept: Sequence[ModelRecord], version: str | None) -> ModelRecord:
    """The model before the live one in its lineage, or the named one.

    Raises:
        UnknownVersion: none of that name is kept, or it lives.
        NoEarlierModel: there is none before the live one.
    """
    led = lineage(kept)
    live, symbol = led[-1], led[-1].symbol
    if version is None:
        if len(led) == 1:
            raise NoEarlierModel(
                f"{symbol} has no model before {live.version}; "
                f"`evertrain train --mode full --symbols {symbol}` makes a new one"
            )
        return led[-2]
    if version == live.version:
        raise UnknownVersion(f"{version} is the live model of {symbol} already")
    newest = {model.version: model for model in kept}
    if version not in newest:
        others = ", ".join(other for other in newest if other != live.version) or "none"
        raise UnknownVersion(f"{symbol} has no model {version[:80]!r}; there are: {others}")
    return newest[version]
