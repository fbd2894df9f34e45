"""`python -m tests.mutations [WORD ...]`: take the guards out one by one; a test must notice each.

First every named test must pass on a copy of the tree as it is. Then each mutant gets a copy of its
own, and its test must fail there. With words, only the mutants whose guard or file has one of them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from tests.mutations.mutant import Mutant
from tests.mutations.table import MUTANTS

ROOT: Final = Path(__file__).parents[2]

_COPIED: Final = ("evertrain", "services", "shared", "tests", "docs", "pyproject.toml")
_AT_ONCE: Final = 2
_LONGEST_S: Final = 600.0

#: What pytest says when tests failed. Anything else, such as no such test, proves nothing.
_FAILED: Final = 1

#: Told to every process of a trial, so that those that outlive it are found.
_MARK: Final = "EVERTRAIN_MUTATION"


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(w in f"{m.guard} {m.file}" for w in words)]
    if faults := [fault for mutant in chosen if (fault := mutant.fault(ROOT))]:
        return _told(faults)
    if unproven := _unproven(chosen):
        return _told([f"fails without a mutation: {unproven}"])
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        survivors = [each for each in threads.map(_survivor, chosen) if each]
    _say(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants were noticed")
    return _told(survivors)


def _unproven(mutants: Iterable[Mutant]) -> str:
    """What pytest says of the named tests, if it is not that they pass."""
    tests = sorted({mutant.test for mutant in mutants})
    code, said = _tried(tests, lambda root: None)
    return "" if code == 0 else said


def _survivor(mutant: Mutant) -> str | None:
    started = time.monotonic()
    code, said = _tried([mutant.test], mutant.apply)
    took = f"{time.monotonic() - started:.0f} s"
    if code == _FAILED:
        _say(f"noticed   {mutant.guard} ({took})")
        return None
    _say(f"SURVIVED  {mutant.guard} ({took})")
    return f"{mutant.guard}: {mutant.test} ended with {code}\n{said}"


def _tried(tests: list[str], change: Callable[[Path], None]) -> tuple[int, str]:
    """How pytest ended on these tests in a changed copy of the tree, and the end of what it said;
    hanging is failing.
    """
    with tempfile.TemporaryDirectory(prefix="evertrain-mutation-") as folder, _ending() as mark:
        root = Path(folder)
        _copy(root)
        change(root)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {"PYTHONPATH": str(root), _MARK: mark}
        try:
            ended = subprocess.run(
                command,
                cwd=root,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_LONGEST_S,
            )
        except subprocess.TimeoutExpired:
            return _FAILED, "took too long"
        return ended.returncode, ended.stdout[-2000:]


def _copy(root: Path) -> None:
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)


@contextmanager
def _ending() -> Iterator[str]:
    """A mark for the processes of the body; those that are left behind it are killed."""
    mark = uuid.uuid4().hex
    try:
        yield mark
    finally:
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == mark:
                    process.kill()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue


def _told(complaints: list[str]) -> int:
    for complaint in complaints:
        _say(complaint)
    return 1 if complaints else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
