"""The settings of every service, read as they would read them.

`python -m evertrain.configuration` exits 2 and says why, when one of them would refuse to start.
"""

import sys
from importlib import import_module
from typing import Final

from shared.contracts.errors import InvalidSetting
from shared.runtime.settings import Environment, environment

#: In start-up order; they are stopped the other way round.
SERVICES: Final = ("scheduler", "trainer", "predictor", "gateway")


def check_settings(service: str, env: Environment) -> None:
    """Raises InvalidSetting: the service would refuse to start.

    Where NATS is does not matter here.
    """
    known = env if env.optional("NATS_URL") else env.over({"NATS_URL": "nats://127.0.0.1:4222"})
    import_module(f"services.{service}.settings").Settings.read(known)


def main() -> None:
    try:
        for service in SERVICES:
            check_settings(service, environment())
    except InvalidSetting as exc:
        print(exc, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
