"""Everything known about one symbol, and the answer that follows from it."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.predictor.domain.freshness import Entry, Lapse, Moment, lapse, outlives
from services.predictor.domain.setbacks import Setback, setback
from shared.contracts.errors import NotReady
from shared.contracts.records import ModelRecord, Prediction, Problem
from shared.contracts.symbols import Symbol


@dataclass(slots=True, kw_only=True)
class Desk:
    """`live` is the registry's model and `good` the last one that worked; `newest` is the newest
    candle heard of, in the live model's timeframe. `refused` is a setback with the live model,
    which `good` stands in for; `failed` one with the computation as a whole. With `lasting`, the
    next prediction is fresh for so long instead of as usual. `recalled`: the entry is from an
    earlier life and nobody has asked for it in this one; `unsaved`: the disk does not have it.
    """

    symbol: Symbol
    live: ModelRecord | None = None
    good: ModelRecord | None = None
    newest: datetime | None = None
    entry: Entry | None = None
    refused: Setback | None = None
    failed: Setback | None = None
    lasting: timedelta | None = None
    recalled: bool = False
    unsaved: bool = False

    def promote(self, record: ModelRecord) -> bool:
        """A model went live. Says whether that was news."""
        if record == self.live:
            return False
        if self.live is None or self.live.timeframe is not record.timeframe:
            self.newest = None
        self.live = record
        self.forgive()
        return True

    def withdraw(self) -> None:
        """The registry has no model of this symbol any more."""
        self.live = self.good = self.newest = None
        self.forget()
        self.forgive()

    def forget(self) -> None:
        """There is no prediction of it any more."""
        self.entry, self.recalled, self.unsaved = None, False, False

    def hear(self, candle_at: datetime) -> bool:
        """A candle is in the store. Says whether it is newer than any before."""
        if self.newest is not None and candle_at <= self.newest:
            return False
        self.newest = candle_at
        return True

    def forgive(self) -> None:
        """Try everything again at once."""
        self.refused = self.failed = None

    def refuse(self, record: ModelRecord, problem: Problem, tick: float) -> None:
        """The model does not work; what is known of another that has gone live since stays."""
        if record is self.live:
            self.refused = setback(problem, self.refused, tick)

    def accept(self, record: ModelRecord) -> None:
        """The model works."""
        self.good = record
        if record is self.live:
            self.refused = None

    def fail(self, problem: Problem, tick: float) -> None:
        self.failed = setback(problem, self.failed, tick)

    def succeed(self, prediction: Prediction, now: Moment, *, heard: datetime | None) -> None:
        """`heard` is what `newest` was when the candles were read: word of a candle is a reason to
        look into the store, and what the store has is what counts.
        """
        self._take(prediction, now, heard=heard)
        self.lasting, self.recalled, self.unsaved = None, False, True

    def recall(self, prediction: Prediction, now: Moment, *, heard: datetime | None) -> None:
        """Take what the disk had, which is as good as computing it. `heard`: see `succeed`."""
        self._take(prediction, now, heard=heard)
        self.recalled, self.unsaved = True, False

    def _take(self, prediction: Prediction, now: Moment, *, heard: datetime | None) -> None:
        self.entry, self.failed = Entry.of(prediction, now), None
        ours = self.live is not None and self.live.timeframe is prediction.timeframe
        if ours and self.newest == heard:
            self.newest = prediction.candle_at

    def remember(self, prediction: Prediction) -> None:
        """Something to answer with until there is better; it is never fresh."""
        told = replace(prediction, stale=False, stale_reason=None)
        self.entry = Entry.of_last_resort(told)

    def extend(self, told: Prediction, now: Moment) -> None:
        """Another predictor says the same, for longer."""
        if self.entry and self.entry.best_before and outlives(told, self.entry.prediction):
            self.entry, self.unsaved = Entry.of(told, now), True

    def rests(self, tick: float) -> bool:
        return tick < self.resting_until

    @property
    def resting_until(self) -> float:
        """The tick before which nothing of this symbol is computed."""
        return self.failed.until if self.failed else 0.0

    @property
    def due_again(self) -> float | None:
        """The tick at which to compute without having heard anything new."""
        if self.failed:
            return self.failed.until
        if self.refused:
            return self.refused.until
        return self.entry.half_life if self.entry else None

    @property
    def problem(self) -> Problem | None:
        trouble = self.failed or self.refused
        return trouble.problem if trouble else None

    def lacks(self, now: Moment) -> bool:
        """Whether the disk may have better than the entry; a newer candle it does not know."""
        if self.live is None:
            return False
        return self.entry is None or self._lapse(self.entry, self.live, now) in (
            Lapse.MODEL,
            Lapse.EXPIRED,
        )

    def settled(self, now: Moment) -> bool:
        """Whether computing now could give nothing better than the entry."""
        if self.live is None or self.entry is None:
            return False
        refused = self.refused is not None and self.refused.holds(now.tick)
        model = self.good if refused and self.good else self.live
        return self._lapse(self.entry, model, now) is None

    def answer(self, now: Moment) -> Prediction:
        """The newest prediction there is, marked as stale with the reason if it is not the newest
        there should be.

        Raises:
            NotReady: there is none yet, and why.
        """
        if self.live is None:
            raise NotReady(f"there is no model of {self.symbol} yet: train it first")
        if self.entry is None:
            reason = self.problem.message if self.problem else "it is being computed"
            raise NotReady(f"there is no prediction of {self.symbol} yet: {reason}")
        prediction, why = self.entry.prediction, self._lapse(self.entry, self.live, now)
        if why is None:
            return prediction
        reason = f"{why}: {self.problem.message}" if self.problem else str(why)
        return replace(prediction, stale=True, stale_reason=reason)

    def _lapse(self, entry: Entry, model: ModelRecord, now: Moment) -> Lapse | None:
        return lapse(entry, model_version=model.version, newest_candle=self.newest, now=now)
