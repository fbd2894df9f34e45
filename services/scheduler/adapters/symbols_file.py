"""The file that SYMBOLS_FILE names, followed while it is edited."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from services.scheduler.settings import read_symbols
from shared.contracts.errors import InvalidSetting
from shared.contracts.symbols import Symbol

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SymbolsFile:
    """`listed` is what was read from it last."""

    path: Path
    listed: tuple[Symbol, ...]
    look_every_s: float = 2.0

    def read(self) -> tuple[Symbol, ...]:
        """Raises InvalidSetting: it cannot be read, or lists something else than symbols."""
        return read_symbols(self.path)

    async def changes(self) -> AsyncGenerator[tuple[Symbol, ...]]:
        """What it lists, each time that this changes, for ever. While it cannot be read, or lists
        something else than symbols, the last good list stays.
        """
        listed, problem = self.listed, ""
        while True:
            await asyncio.sleep(self.look_every_s)
            try:
                found = await asyncio.to_thread(self.read)
            except InvalidSetting as exc:
                if str(exc) != problem:
                    problem = str(exc)
                    log.warning("the last good list of symbols stays", extra={"reason": problem})
                continue
            problem = ""
            if found != listed:
                listed = found
                yield listed
