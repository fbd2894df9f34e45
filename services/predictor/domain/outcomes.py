"""What became of forecasts: scored once each, when as many candles have passed as they look ahead.

A scorecard is brought up to date by a pure function of what it was, so that predictors can do it at
once and again: a forecast is named by its candle, model version and horizon, and each is counted
once.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from shared.contracts.quality import Awaited, Reliability, Scorecard, Track
from shared.contracts.records import Prediction
from shared.contracts.terms import Horizon

_BINS: Final = 10
_VERSIONS: Final = 10

#: A forecast that was sure and wrong costs no more than this allows.
_CERTAIN: Final = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Closes:
    """The closes of candles and when these opened, oldest first, with the splits in them undone: no
    share rises by being split.
    """

    at: Sequence[datetime]
    values: Sequence[float]

    def risen(self, forecast: Awaited) -> bool | None:
        """Whether the close is higher at the end of the horizon; None while that is to come."""
        row = bisect_left(self.at, forecast.candle_at)
        end = row + forecast.horizon
        if end >= len(self.at) or self.at[row] != forecast.candle_at:
            return None
        return self.values[end] > self.values[row]

    def lack(self, candle_at: datetime) -> bool:
        """Whether there are candles from before and after this one, and it is not among them."""
        row = bisect_left(self.at, candle_at)
        return 0 < row < len(self.at) and self.at[row] != candle_at


def updated(card: Scorecard, served: Prediction, closes: Closes) -> Scorecard:
    """The scorecard once this prediction is served and these candles are known.

    Forecasts are scored in the order of their candles. One whose candle was taken out of the store
    will never be scored, and is let go.
    """
    awaited = sorted((*card.awaited, *_new(card, served)), key=_place)
    tracks = {(track.model_version, track.horizon): track for track in card.tracks}
    waiting = []
    for forecast in awaited:
        risen = closes.risen(forecast)
        if risen is None:
            if not closes.lack(forecast.candle_at):
                waiting.append(forecast)
            continue
        key = forecast.model_version, forecast.horizon
        tracks[key] = _scored(tracks.get(key) or _blank(forecast), forecast, risen=risen)
    return replace(card, awaited=tuple(waiting), tracks=_newest(tracks.values()))


def oldest(card: Scorecard, served: Prediction) -> datetime:
    """The first candle that is needed to score what waits."""
    return min((served.candle_at, *(forecast.candle_at for forecast in card.awaited)))


def _new(card: Scorecard, served: Prediction) -> list[Awaited]:
    """The forecasts that are neither awaited nor scored yet. A prediction is told again when it
    has become stale, and by each predictor.
    """
    waiting = {_place(forecast) for forecast in card.awaited}
    scored = {(track.model_version, track.horizon): track.last_at for track in card.tracks}
    found = [
        Awaited(
            candle_at=served.candle_at,
            model_version=served.model_version,
            horizon=forecast.horizon,
            p_up=forecast.p_up,
        )
        for forecast in served.predictions
    ]
    return [
        forecast
        for forecast in found
        if _place(forecast) not in waiting
        and not _is_scored(scored.get((forecast.model_version, forecast.horizon)), forecast)
    ]


def _is_scored(last_at: datetime | None, forecast: Awaited) -> bool:
    return last_at is not None and forecast.candle_at <= last_at


def _place(forecast: Awaited) -> tuple[datetime, str, Horizon]:
    return forecast.candle_at, forecast.model_version, forecast.horizon


def _blank(forecast: Awaited) -> Track:
    return Track(
        model_version=forecast.model_version,
        horizon=forecast.horizon,
        forecasts=0,
        hits=0,
        brier_sum=0.0,
        log_loss_sum=0.0,
        log_loss_square_sum=0.0,
        bins=(Reliability(forecasts=0, p_up_sum=0.0, ups=0),) * _BINS,
        first_at=forecast.candle_at,
        last_at=forecast.candle_at,
    )


def _scored(track: Track, forecast: Awaited, *, risen: bool) -> Track:
    """A forecast of exactly one half says up."""
    p_up = forecast.p_up
    loss = -math.log(max(p_up if risen else 1.0 - p_up, _CERTAIN))
    place = min(int(p_up * _BINS), _BINS - 1)
    bin_ = track.bins[place]
    fuller = Reliability(
        forecasts=bin_.forecasts + 1, p_up_sum=bin_.p_up_sum + p_up, ups=bin_.ups + risen
    )
    return replace(
        track,
        forecasts=track.forecasts + 1,
        hits=track.hits + ((p_up >= 0.5) == risen),
        brier_sum=track.brier_sum + (p_up - risen) ** 2,
        log_loss_sum=track.log_loss_sum + loss,
        log_loss_square_sum=track.log_loss_square_sum + loss**2,
        bins=(*track.bins[:place], fuller, *track.bins[place + 1 :]),
        last_at=forecast.candle_at,
    )


def _newest(tracks: Iterable[Track]) -> tuple[Track, ...]:
    """Of the versions that were scored last, the newest first."""
    ordered = sorted(tracks, key=lambda track: track.horizon)
    ordered.sort(key=lambda track: (track.last_at, track.model_version), reverse=True)
    versions = list(dict.fromkeys(track.model_version for track in ordered))[:_VERSIONS]
    return tuple(
        track
        for version in versions
        for track in sorted(ordered, key=lambda track: track.horizon)
        if track.model_version == version
    )
