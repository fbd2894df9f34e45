"""The registry, for people."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console

from evertrain.output import age, moment, score, share, table
from evertrain.session import check_stores
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import codec, subjects
from shared.contracts.errors import NotFound
from shared.contracts.quality import Scorecard
from shared.contracts.records import CleanupReport, ModelRecord, RolledBack, Verdict
from shared.contracts.requests import CleanupRequest, RollbackRequest
from shared.contracts.symbols import Symbol

#: The trainer looks at the model's file in a process of its own.
_ROLLED_BACK_WITHIN_S: Final = 30.0
_CLEANED_UP_WITHIN_S: Final = 1800.0


async def live_models(connection: Connection) -> list[ModelRecord]:
    """Every live model, by symbol. Raises Unavailable: NATS does not answer."""
    await check_stores(connection)
    entries = await Bucket(connection, subjects.MODELS).entries()
    models = [codec.decode(entry.value, ModelRecord) for entry in entries]
    return sorted(models, key=lambda model: model.symbol)


async def look_up(connection: Connection, symbol: Symbol) -> tuple[ModelRecord, Scorecard]:
    """The live model, and how the predictions that were served of its symbol did.

    Raises:
        NotFound: the symbol has no model.
        Unavailable: NATS does not answer.
    """
    entry = await Bucket(connection, subjects.MODELS).get(symbol.token)
    if entry is None:
        raise NotFound(f"{symbol} has no model: `evertrain train --symbols {symbol}` makes one")
    scored = await Bucket(connection, subjects.QUALITY).get(subjects.served(symbol))
    scorecard = codec.decode(scored.value, Scorecard) if scored else Scorecard(symbol=symbol)
    return codec.decode(entry.value, ModelRecord), scorecard


async def roll_back(connection: Connection, request: RollbackRequest) -> ModelRecord:
    """Raises LeaseTaken, NoEarlierModel, UnknownVersion, ArtifactRefused, Unavailable."""
    return await rpc.ask(
        connection,
        "evertrain.trainer.rollback",
        request,
        ModelRecord,
        timeout=_ROLLED_BACK_WITHIN_S,
    )


async def clean_up(connection: Connection, request: CleanupRequest) -> CleanupReport:
    """Raises Unavailable."""
    return await rpc.ask(
        connection,
        "evertrain.trainer.cleanup",
        request,
        CleanupReport,
        timeout=_CLEANED_UP_WITHIN_S,
    )


def show_models(models: Sequence[ModelRecord], out: Console, now: datetime) -> None:
    if not models:
        out.print("no models yet: `evertrain train --mode quick` makes them")
        return
    columns = ("Symbol", "Version", "Age", "Mode", "ROC AUC", "by chance", "Rows", "kB", "Horizons")
    rows = (
        (
            model.symbol,
            model.version,
            age(model.created_at, now),
            model.mode,
            score(model.avg_roc_auc),
            score(model.avg_roc_auc_null),
            model.rows,
            round(model.size / 1000),
            _horizons(model),
        )
        for model in models
    )
    numbers = ("Age", "ROC AUC", "by chance", "Rows", "kB")
    out.print(table(*columns, rows=rows, numbers=numbers))


_LEGEND: Final = (
    "All on candles that no learner had seen. By chance: what the ensemble's ROC AUC is on average "
    "where nothing can be foretold, over as many rows; in 95 of 100 cases at most so much. Base "
    "rate: the accuracy of always naming the commoner of rises and falls."
)


def show_model(model: ModelRecord, out: Console, now: datetime) -> None:
    facts = {
        "version": model.version,
        "age": age(model.created_at, now),
        "trained": f"{model.mode}, run {model.run_id}",
        "candles": f"{model.rows} of {model.timeframe}, up to {moment(model.candle_at)}",
        "horizons": _horizons(model),
        "artifact": f"{model.size} bytes, sha256 {model.sha256}",
        "libraries": ", ".join(f"{name} {at}" for name, at in sorted(model.libraries.items())),
        "gate": _gate(model.verdict),
    }
    if model.rolled_back is not None:
        facts["rollback"] = _rollback(model.rolled_back)
    out.print(model.symbol)
    for name, value in facts.items():
        out.print(f"  {name:<10} {value}")
    columns = (
        "Horizon",
        "Learner",
        "ROC AUC",
        "95 %",
        "by chance",
        "at most",
        "Log loss",
        "Brier",
        "Calibration error",
        "Accuracy",
        "Base rate",
        "Rises",
        "Rows",
    )
    rows = (
        (
            s.horizon,
            s.learner,
            score(s.roc_auc),
            "-".join(map(score, s.roc_auc_interval or ())),
            score(s.roc_auc_null),
            score(s.roc_auc_null_high),
            score(s.log_loss),
            score(s.brier),
            score(s.calibration_error),
            score(s.accuracy),
            score(s.base_rate),
            score(s.up_share),
            s.rows,
        )
        for s in model.scores
    )
    out.print(table(*columns, rows=rows, numbers={*columns} - {"Learner"}))
    out.print(_LEGEND)


def show_tracks(scorecard: Scorecard, out: Console) -> None:
    """How the predictions that were served did, by version and horizon."""
    if not scorecard.tracks:
        out.print(f"No prediction of {scorecard.symbol} that was served has come to its end yet.")
        return
    columns = ("Served by", "Horizon", "Predictions", "Hit rate", "Brier", "Log loss", "Until")
    rows = (
        (
            track.model_version,
            track.horizon,
            track.forecasts,
            share(track.hit_rate),
            score(track.brier),
            score(track.log_loss),
            moment(track.last_at),
        )
        for track in scorecard.tracks
    )
    out.print(table(*columns, rows=rows, numbers={*columns} - {"Served by", "Until"}))


def show_rolled_back(model: ModelRecord, out: Console) -> None:
    instead = f" instead of {model.rolled_back.from_version}" if model.rolled_back else ""
    out.print(f"{model.symbol}: {model.version} lives again{instead}")


def show_cleanup(report: CleanupReport, out: Console) -> None:
    deleted = "would be deleted" if report.dry_run else "deleted"
    freed = f"{report.freed_bytes / 1e6:,.1f} MB"
    out.print(f"{report.deleted} files {deleted}, {freed}; {report.kept} kept")


def _rollback(how: RolledBack) -> str:
    return f"lives again since {moment(how.at)} instead of {how.from_version}, asked by {how.by}"


def _gate(verdict: Verdict | None) -> str:
    if verdict is None:
        return "the first model: there was none to compare it with"
    if verdict.excess is None:
        return f"not compared with {verdict.live_version}: {verdict.note}"
    return (
        f"{verdict.excess:+.4f} nats of log loss against {verdict.live_version}, "
        f"on {verdict.rows} candles unknown to both"
    )


def _horizons(model: ModelRecord) -> str:
    return ",".join(map(str, model.horizons))
