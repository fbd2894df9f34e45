"""`python -m shared.bus.probe SERVICE`: exit 0 if that service is ready on this host, else 1.

For container health checks of the services that serve no HTTP.
"""

import asyncio
import socket
import sys

from shared.bus.connection import NatsOptions, connected
from shared.bus.survey import survey
from shared.contracts.errors import AppError
from shared.runtime.settings import environment


async def ready(options: NatsOptions, service: str) -> bool:
    async with connected(options, name="probe", give_up_after=3) as connection:
        reports = await survey(connection, within=1.0)
    here = socket.gethostname()
    return any(r.service == service and r.host == here and r.ready for r in reports)


def main(service: str) -> int:
    """The exit code."""
    try:
        return 0 if asyncio.run(ready(NatsOptions.read(environment()), service)) else 1
    except AppError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
