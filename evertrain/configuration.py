"""What `up` decides for the services, and whether they would accept it."""

from importlib import import_module
from pathlib import Path
from typing import Final

from shared.runtime.settings import Environment

#: In start-up order; they are stopped the other way round.
SERVICES: Final = ("scheduler", "trainer", "predictor", "gateway")

#: Real daily candles, replayed faster than life: a day is three seconds. What the user set wins.
#: Signals are asked for little, so that there are some to see: hardly one of four shares in some
#: months passes the filters that people would want.
DEMO: Final = {
    "EVERTRAIN_DEMO": "true",
    "DATA_PROVIDER": "replay",
    "SYMBOLS": "AAPL,GOOG,IBM,MSFT",
    "TIMEFRAME": "1d",
    "CANDLE_INTERVAL_MINUTES": "0.05",
    "SIGNAL_INTERVAL_MINUTES": "0.1",
    "DRIFT_INTERVAL_HOURS": "0.05",
    "MIN_ACCURACY_TARGET": "0.5",
    "MIN_NET_PROFIT_PCT": "0",
    "TRAIN_DAYS_BACK": "730",
    "AUTO_TRAINING_ENABLED": "true",
    "INCREMENTAL_SCHEDULE": "*/2 * * * *",
}


def chosen(
    env: Environment, *, demo: bool, data_dir: Path | None, host: str | None, port: int | None
) -> dict[str, str]:
    """The settings that the options of `up` stand for; they win over the environment."""
    defaults = {name: value for name, value in DEMO.items() if demo and not env.optional(name)}
    if env.optional("SYMBOLS_FILE"):
        defaults.pop("SYMBOLS", None)
    options = {
        "DATA_DIR": str((data_dir or env.data_dir()).expanduser().absolute()),
        "GATEWAY_HOST": host,
        "GATEWAY_PORT": port and str(port),
    }
    return defaults | {name: value for name, value in options.items() if value}


def check_settings(service: str, env: Environment) -> None:
    """Raises InvalidSetting: the service would refuse to start.

    Where NATS is does not matter here.
    """
    known = env if env.optional("NATS_URL") else env.over({"NATS_URL": "nats://127.0.0.1:4222"})
    import_module(f"services.{service}.settings").Settings.read(known)
