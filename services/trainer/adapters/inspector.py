"""Artifacts, looked at in a process of its own: reading one takes numpy, which a trainer's main
process never loads.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace
from typing import Final

from shared.contracts import codec
from shared.contracts.errors import ArtifactRefused, Unavailable
from shared.contracts.records import ModelRecord

_INSPECTION: Final = "services.trainer.adapters.inspection"
_TIMEOUT_S: Final = 20.0

#: How the child ends; anything else is a crash.
SOUND: Final = 0
REFUSED: Final = 3


class ArtifactInspector:
    async def inspect(self, artifact: bytes, model: ModelRecord) -> None:
        """Make sure that this version of the program can forecast with these bytes.

        Raises:
            ArtifactRefused: it cannot, and why, or the attempt ended the process.
            Unavailable: this machine is too busy to say so in time.
        """
        described = codec.encode(replace(model, scores=(), verdict=None)).decode()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _INSPECTION, described, stdin=PIPE, stdout=PIPE
        )
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                said, _ = await child.communicate(artifact)
        except TimeoutError as exc:
            raise Unavailable(f"model {model.version} could not be looked at in time") from exc
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        if child.returncode == REFUSED:
            raise ArtifactRefused(said.decode())
        if child.returncode != SOUND:
            raise ArtifactRefused(
                f"the file of model {model.version} ended the process that looked at it "
                f"({child.returncode})"
            )
