"""The tables as Markdown, and the page that keeps them."""

import os
import platform
import re
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.measure import Goal, Row, Section

_LIBRARIES: Final = ("numpy", "pandas", "xgboost-cpu", "lightgbm", "catboost", "nats-py")
_HEAD: Final = """\
# Performance

`make bench` writes this page: every number comes from the command that stands below its table, ours
and its yardstick in the same run, and the goal beside it. Ratios are what to look at; times are
those of the machine that is named.
"""


def text(section: Section, command: str, now: datetime) -> str:
    """A section of the page, with everything that is needed to do it again."""
    load, _, _ = os.getloadavg()
    return "\n".join(
        [
            f"## {section.title}",
            "",
            *(line for note in section.notes for line in (note, "")),
            *_table(section.rows),
            "",
            f"`{command}`, {now:%Y-%m-%d %H:%M} UTC, load {load:.1f} at the end. {machine()}.",
        ]
    )


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES if _installed(name))
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, "
        f"Python {platform.python_version()}, {libraries}"
    )


def keep(page: Path, topic: str, section: str) -> None:
    """Put the section into the page, in the place of the one that it measured before."""
    body = page.read_text() if page.exists() else _HEAD
    begin, end = f"<!-- {topic} -->", f"<!-- end of {topic} -->"
    block = f"{begin}\n{section}\n{end}"
    found = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if found.search(body):
        body = found.sub(lambda _: block, body)
    else:
        body = f"{body.rstrip()}\n\n{block}\n"
    page.write_text(body)


def _table(rows: tuple[Row, ...]) -> list[str]:
    return [
        "| | ours | yardstick | ratio | goal | met |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
    ]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        f"{_number(row.ours)} {row.unit}".rstrip(),
        "" if row.yardstick is None else f"{_number(row.yardstick)} {row.unit}".rstrip(),
        "" if row.ratio is None else f"{_number(row.ratio)} x",
        "" if row.goal is None else _goal(row.goal, "x" if row.ratio is not None else row.unit),
        {None: "", True: "yes", False: "**no**"}[row.met],
    )


def _goal(goal: Goal, unit: str) -> str:
    return f"{goal.kind} {_number(goal.limit)} {unit}".rstrip()


def _number(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
