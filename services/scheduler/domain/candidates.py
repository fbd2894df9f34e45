"""What is due for training: a pure function of the registry, the last attempts, and the time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.errors import UnknownSymbol
from shared.contracts.records import ModelRecord, Universe
from shared.contracts.requests import PlannedJob
from shared.contracts.symbols import Symbol
from shared.contracts.terms import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of the continuous cycle."""

    per_cycle: int
    max_age: timedelta
    cooldown: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """What is known when the question is asked. `attempts`: when the last training of each symbol
    ended, well or badly; updates do not count.
    """

    universe: Universe
    models: Mapping[Symbol, ModelRecord]
    attempts: Mapping[Symbol, datetime]
    watched: Collection[Symbol] = ()


def plan(
    mode: Mode, symbols: Sequence[Symbol] | None, known: Knowledge, policy: Policy, now: datetime
) -> list[PlannedJob]:
    """The jobs of a run of this mode, in the order in which they should be done.

    Named symbols are always taken. Otherwise a full or quick run takes the whole universe, an
    incremental one every symbol that has a model to start from, a cycle its candidates.

    Raises:
        UnknownSymbol: a named symbol is not in the universe.
    """
    if symbols is None:
        symbols = _due(mode, known, policy, now)
    everyone = frozenset(known.universe.symbols)
    unknown = [symbol for symbol in symbols if symbol not in everyone]
    if unknown:
        raise UnknownSymbol(f"not in the universe: {', '.join(unknown[:10])}")
    return [
        PlannedJob(symbol=symbol, mode=_depth(mode, symbol, known, policy, now))
        for symbol in dict.fromkeys(symbols)
    ]


def candidates(known: Knowledge, policy: Policy, now: datetime) -> list[Symbol]:
    """The symbols a cycle takes, at most `per_cycle`: those without a model, then those whose
    model lacks a horizon or has fallen behind, then those older than the maximum age, oldest first;
    among equals the watched ones first. Updates do not make a model younger. A symbol whose
    training was tried within the cooldown is left in peace.
    """
    due = [
        (urgency, symbol)
        for symbol in known.universe.symbols
        if (urgency := _urgency(symbol, known, policy, now)) is not None
        and not _cooling(symbol, known, policy, now)
    ]
    return [symbol for _, symbol in sorted(due)[: policy.per_cycle]]


def _due(mode: Mode, known: Knowledge, policy: Policy, now: datetime) -> list[Symbol]:
    if mode is Mode.CYCLE:
        return candidates(known, policy, now)
    if mode is Mode.INCREMENTAL:
        return [symbol for symbol in known.universe.symbols if symbol in known.models]
    return list(known.universe.symbols)


def _urgency(
    symbol: Symbol, known: Knowledge, policy: Policy, now: datetime
) -> tuple[int, timedelta, bool] | None:
    """Smaller is more urgent; None is not due."""
    model = known.models.get(symbol)
    if model is None:
        return (0, timedelta(0), symbol not in known.watched)
    age = now - model.trained_at
    if model.needs_full or not set(known.universe.horizons).issubset(model.horizons):
        return (1, -age, symbol not in known.watched)
    if age > policy.max_age:
        return (2, -age, symbol not in known.watched)
    return None


def _cooling(symbol: Symbol, known: Knowledge, policy: Policy, now: datetime) -> bool:
    tried_at = known.attempts.get(symbol)
    return tried_at is not None and now - tried_at < policy.cooldown


def _depth(mode: Mode, symbol: Symbol, known: Knowledge, policy: Policy, now: datetime) -> Mode:
    """A cycle trains in full what has no good model to start from, an update likewise."""
    if mode is Mode.CYCLE:
        urgent = _urgency(symbol, known, policy, now) is not None
        return Mode.FULL if urgent else Mode.INCREMENTAL
    if mode is Mode.INCREMENTAL:
        model = known.models.get(symbol)
        return Mode.FULL if model is None or model.needs_full else Mode.INCREMENTAL
    return mode
