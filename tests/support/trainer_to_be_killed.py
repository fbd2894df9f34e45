"""A trainer with one endless job, for a test to kill. Prints the process ids of its descendants."""

import asyncio
import sys
from typing import NoReturn

from services.trainer.adapters.pool import TrainingPool
from services.trainer.domain.jobs import Inputs
from tests.support.jobs import job_for

ENTRY = "tests.support.misbehaving:fit"


async def main() -> NoReturn:
    async with TrainingPool(1, memory_mb=256, entry=ENTRY) as pool:

        def tell(stage: str, done: float) -> None:
            print(stage.removeprefix("pid "), flush=True)  # noqa: T201, the test reads it

        await pool.run(
            job_for(sys.argv[1]), Inputs(candles=b""), deadline_s=3600.0, on_progress=tell
        )
    raise AssertionError("the endless job has ended")


if __name__ == "__main__":
    asyncio.run(main())
