"""The settings that need a client of a market."""

import subprocess
import sys

import pytest

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.market.providers.catalogue import open_provider, require_available

pytestmark = pytest.mark.usefixtures("clients")


@pytest.mark.parametrize("name", ["ccxt:binance", "ccxt:kraken", "yfinance"])
async def test_each_setting_opens_its_provider_without_asking_anybody(name: str) -> None:
    async with open_provider(name, timeframe=Timeframe.D1) as provider:
        assert provider.symbols() == ()


async def test_an_exchange_is_asked_no_faster_than_it_allows() -> None:
    async with open_provider("ccxt:kraken", timeframe=Timeframe.D1) as provider:
        client = provider._client  # type: ignore[attr-defined]
        assert client.enableRateLimit
        assert client.rateLimit >= 1000 / 20  # ms between two requests


@pytest.mark.parametrize(
    ("name", "timeframe", "said"),
    [
        ("ccxt:mtgox", Timeframe.D1, "there is no such exchange: choose from .*binance, .*kraken"),
        ("ccxt:coinbase", Timeframe.H4, "set TIMEFRAME to 1m or 5m or 15m or 1h or 1d"),
        ("yfinance", Timeframe.H1, "set TIMEFRAME to 1m or 5m or 15m or 1d"),
    ],
)
async def test_a_wrong_setting_says_what_is_available(
    name: str, timeframe: Timeframe, said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        async with open_provider(name, timeframe=timeframe):
            pass


def test_every_exchange_that_ccxt_has_may_be_chosen() -> None:
    ccxt = pytest.importorskip("ccxt.async_support")
    for exchange in ccxt.exchanges:
        require_available(f"ccxt:{exchange}", Timeframe.D1)


def test_an_exchange_that_is_not_there_is_refused_without_importing_all_the_others() -> None:
    code = (
        "import sys\n"
        "from shared.contracts.errors import InvalidSetting\n"
        "from shared.contracts.terms import Timeframe\n"
        "from shared.market.providers.catalogue import require_available\n"
        "try:\n"
        "    require_available('ccxt:mtgox', Timeframe.D1)\n"
        "except InvalidSetting as exc:\n"
        "    print('no such exchange' in str(exc), 'ccxt' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "False"]
