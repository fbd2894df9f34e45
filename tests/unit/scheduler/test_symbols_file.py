from contextlib import aclosing
from pathlib import Path

import pytest

from services.scheduler.adapters.symbols_file import SymbolsFile
from shared.contracts.symbols import Symbol

A, B = Symbol("A"), Symbol("B")
pytestmark = pytest.mark.real_time  # files are read in threads that virtual time cannot see


async def test_each_change_of_the_file_is_told_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "symbols.txt"
    file.write_text("A\n")
    async with aclosing(SymbolsFile(file, (A,), look_every_s=0.01).changes()) as changes:
        file.write_text("A  # the same\nB\n")
        assert await anext(changes) == (A, B)
        file.write_text("B\n")
        assert await anext(changes) == (B,)


async def test_while_the_file_cannot_be_read_the_last_good_list_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "symbols.txt"
    looks = iter(["not a symbol", "", None, "A\n", "B\n"])

    class Editor(SymbolsFile):
        """Its file is another one at each look."""

        def read(self) -> tuple[Symbol, ...]:
            content = next(looks)
            if content is None:
                file.unlink()
            else:
                file.write_text(content)
            return super().read()

    async with aclosing(Editor(file, (A,), look_every_s=0).changes()) as changes:
        assert await anext(changes) == (B,)
    assert len(caplog.records) == 3
