"""`python -m tests.benchmarks [TOPIC ...]`: measure, print, and write docs/performance.md."""

import argparse
import importlib
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Final, cast

from shared.runtime.clock import utc_now
from tests.benchmarks import report
from tests.benchmarks.measure import Section
from tests.benchmarks.plan import Plan

TOPICS: Final = (
    "features",
    "job",
    "updates",
    "truth",
    "evolution",
    "drift",
    "peer",
    "pool",
    "serving",
    "cache",
    "memory",
    "system",
    "bus",
    "signals",
    "books",
    "gateway.http",
    "gateway.fanout",
    "gateway.sockets",
    "gateway.calm",
    "gateway.lag",
)

#: Take minutes, and so must be asked for.
RUNS: Final = "runs"
LONG: Final = (RUNS, "gateway.endurance")

_PAGE: Final = Path("docs/performance.md")
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    plan = Plan(**{f.name: getattr(options, f.name) for f in fields(Plan)})
    topics = options.topics or [*TOPICS, *(LONG if options.runs else ())]
    # The numerical libraries read it when they are imported, which is why topics are imported late.
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    for topic in topics:
        section = measure(topic, plan)
        text = report.text(section, _command(topic, plan), utc_now())
        print(text, end="\n\n", flush=True)  # noqa: T201
        if options.write:
            report.keep(_PAGE, _place(topic, plan), text)


def measure(topic: str, plan: Plan) -> Section:
    module = importlib.import_module(f"tests.benchmarks.{topic}")
    return cast(Section, module.measure(plan))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", choices=[*TOPICS, *LONG, []], metavar="TOPIC")
    parser.add_argument("--runs", action="store_true", help="what takes minutes, too")
    parser.add_argument("--candles", type=Path, help="a folder of candle files to measure on")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    for field in fields(Plan):
        if field.name != "candles":
            name = f"--{field.name.replace('_', '-')}"
            kind = str if isinstance(field.default, str) else int
            parser.add_argument(name, type=kind, default=field.default, help=f"{field.default}")
    return parser


def _command(topic: str, plan: Plan) -> str:
    """What does it again. A folder is the reader's own, so its name is left out."""
    default = Plan()
    changed = [
        f"--{field.name.replace('_', '-')} {getattr(plan, field.name)}"
        for field in fields(Plan)
        if field.name != "candles" and getattr(plan, field.name) != getattr(default, field.name)
    ]
    folder = [] if plan.candles is None else ["--candles DIR"]
    return " ".join(["python -m tests.benchmarks", topic, *folder, *changed])


def _place(topic: str, plan: Plan) -> str:
    """Where on the page: runs of different timeframes stand beside each other."""
    return f"{topic} {plan.timeframe}" if topic == RUNS else topic


if __name__ == "__main__":
    main(sys.argv[1:])
