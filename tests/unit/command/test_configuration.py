import pytest

from evertrain.configuration import SERVICES, check_settings
from evertrain.up import DEMO
from shared.contracts.errors import InvalidSetting
from shared.runtime.settings import Environment


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_starts_with_the_defaults_and_with_the_demo(service: str) -> None:
    check_settings(service, Environment({}))
    check_settings(service, Environment(DEMO))


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("scheduler", "HORIZONS", "x"),
        ("scheduler", "TIMEFRAME", "2w"),
        ("trainer", "TRAIN_BATCH_SIZE", "0"),
        ("predictor", "PREDICTION_CACHE_TTL_HOURS", "never"),
        ("gateway", "GATEWAY_HOST", "0.0.0.0"),
    ],
)
def test_what_a_service_would_refuse_is_refused_by_name(
    service: str, name: str, value: str
) -> None:
    with pytest.raises(InvalidSetting, match=name):
        check_settings(service, Environment({name: value}))
