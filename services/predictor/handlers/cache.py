"""What the cache holds and how well it serves; and its end."""

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Protocol

from services.predictor.domain.desks import Desks
from shared.contracts.records import CacheReport, Cleared, Pregeneration, Problem
from shared.contracts.requests import CacheRequest, ClearCacheRequest
from shared.contracts.symbols import Symbol
from shared.runtime.clock import Clock


class Predictor(Protocol):
    """`counted` are its answers by where they came from, those that were stale, and failures."""

    @property
    def counted(self) -> Counter[str]: ...

    def forget(self, symbol: Symbol) -> None:
        """Have no prediction of it in memory any more."""


class Pregenerator(Protocol):
    @property
    def progress(self) -> Pregeneration | None: ...


class Predictions(Protocol):
    async def remove(self, symbols: Collection[Symbol] | None) -> set[Symbol]:
        """Take back what was told to everyone of these symbols, or of all; those of which there was
        something.

        Raises:
            AppError: that could not be done now; some of it may have been.
        """


class Disk(Protocol):
    """Where it does not work it has nothing: no method raises."""

    @property
    def problem(self) -> Problem | None:
        """Why it does not work now."""

    async def size(self) -> tuple[int, int]:
        """How many predictions, and the bytes of their file."""

    async def forget(self, symbols: Collection[Symbol]) -> None: ...


class Cache:
    """The tiers of one predictor, `instance`, as people see them."""

    def __init__(
        self,
        desks: Desks,
        predictor: Predictor,
        pregenerator: Pregenerator,
        predictions: Predictions,
        disk: Disk,
        *,
        instance: str,
        enabled: bool,
        ttl: timedelta,
        clock: Clock,
    ) -> None:
        self._desks = desks
        self._predictor = predictor
        self._pregenerator = pregenerator
        self._predictions = predictions
        self._disk = disk
        self._instance = instance
        self._enabled = enabled
        self._ttl = ttl
        self._clock = clock

    async def report(self, _: CacheRequest) -> CacheReport:
        on_disk, disk_bytes = await self._disk.size()
        counted, sizes, ages = self._predictor.counted, self._sizes(), self._ages_s()
        hits = counted["memory"] + counted["disk"]
        answers = hits + counted["miss"]
        return CacheReport(
            instance=self._instance,
            enabled=self._enabled,
            ttl_hours=self._ttl.total_seconds() / 3600,
            in_memory=len(sizes),
            memory_bytes=sum(sizes),
            on_disk=on_disk,
            disk_bytes=disk_bytes,
            hits_memory=counted["memory"],
            hits_disk=counted["disk"],
            misses=counted["miss"],
            stale=counted["stale"],
            failures=counted["failures"],
            hit_rate=hits / answers if answers else None,
            oldest_age_s=max(ages, default=None),
            pregeneration=self._pregenerator.progress,
            problem=self._disk.problem,
        )

    async def clear(self, asked: ClearCacheRequest) -> Cleared:
        """Forget predictions here, and have every other predictor do so: all of them hear of what
        is taken back.

        Raises:
            NotReady: it is not known yet which symbols there are.
            UnknownSymbol: a named symbol is not in the universe.
            Unavailable: NATS did not answer; asking again is safe.
        """
        named = None
        if asked.symbols is not None:
            named = {self._desks.asked(symbol).symbol for symbol in asked.symbols}
        cleared = await self._predictions.remove(named)
        symbols = {desk.symbol for desk in self._desks.all()} if named is None else named
        for symbol in symbols:
            if self._desks.of(symbol).entry is not None:
                cleared.add(symbol)
            self._predictor.forget(symbol)
        await self._disk.forget(symbols)
        return Cleared(symbols=len(cleared))

    def problems(self) -> tuple[Problem, ...]:
        return (self._disk.problem,) if self._disk.problem else ()

    def figures(self) -> dict[str, float]:
        """As numbers, for those who watch many processes at once."""
        counted, sizes = self._predictor.counted, self._sizes()
        progress = self._pregenerator.progress
        figures = {
            "hits": counted["memory"] + counted["disk"],
            "hits_disk": counted["disk"],
            "misses": counted["miss"],
            "stale": counted["stale"],
            "failures": counted["failures"],
            "predictions_cached": len(sizes),
            "cached_bytes": sum(sizes),
            "oldest_age_s": max(self._ages_s(), default=0.0),
            "pregenerated": progress.done if progress else 0,
            "pregenerating": progress.of - progress.done if progress and progress.running else 0,
        }
        return {name: float(value) for name, value in figures.items()}

    def _sizes(self) -> list[int]:
        return [len(desk.entry.body) for desk in self._desks.answering() if desk.entry]

    def _ages_s(self) -> list[float]:
        now = self._clock()
        return [
            (now - desk.entry.prediction.generated_at).total_seconds()
            for desk in self._desks.answering()
            if desk.entry
        ]
