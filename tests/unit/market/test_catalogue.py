import subprocess
import sys
from pathlib import Path

import pytest

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.market.providers.catalogue import open_provider
from shared.market.providers.files import Files
from shared.market.providers.provider import Provider
from shared.market.providers.replay import Replay
from shared.market.providers.synthetic import Synthetic


async def opened(name: str, timeframe: Timeframe) -> Provider:
    """What a setting opens; closed again, which all of them survive."""
    async with open_provider(name, timeframe=timeframe) as provider:
        return provider


async def test_each_setting_opens_its_provider(tmp_path: Path) -> None:
    assert isinstance(await opened("replay", Timeframe.D1), Replay)
    assert isinstance(await opened("synthetic", Timeframe.M15), Synthetic)
    assert isinstance(await opened(f"files:{tmp_path}", Timeframe.H1), Files)


async def test_the_number_of_synthetic_symbols_can_be_given() -> None:
    assert len((await opened("synthetic:545", Timeframe.M15)).symbols()) == 545


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("replay:fast", "DATA_PROVIDER=replay:fast is not available: choose from replay, synth"),
        ("ccxt", r"choose from .*, ccxt:EXCHANGE \(like ccxt:binance\) and yfinance"),
        ("yfinance:fast", "is not available"),
        ("files", "is not available"),
        ("files:", "is not available"),
        ("", "is not available"),
        ("files:/nowhere/at/all", "no such directory"),
        ("synthetic:0", "a number from 1 to 9999"),
        ("synthetic:many", "a number from 1 to 9999"),
        ("synthetic:10000", "a number from 1 to 9999"),
    ],
)
async def test_a_wrong_setting_says_what_is_available(name: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        await opened(name, Timeframe.D1)


async def test_a_replay_of_another_timeframe_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidSetting, match="no 15m candles: set TIMEFRAME to 1d"):
        await opened("replay", Timeframe.M15)


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [("ccxt:binance", "ccxt", "ccxt"), ("yfinance", "yfinance", "yfinance")],
)
def test_a_missing_library_is_a_wrong_setting_that_says_what_to_install(
    name: str, library: str, extra: str
) -> None:
    code = (
        "import asyncio, sys\n"
        "from shared.contracts.errors import InvalidSetting\n"
        "from shared.contracts.terms import Timeframe\n"
        "from shared.market.providers.catalogue import open_provider\n"
        f"sys.modules[{library!r}] = None\n"
        "async def opened():\n"
        f"    async with open_provider({name!r}, timeframe=Timeframe.D1):\n"
        "        pass\n"
        "try:\n"
        "    asyncio.run(opened())\n"
        "except InvalidSetting as exc:\n"
        "    print(exc)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needed = f"DATA_PROVIDER={name} needs {library}: pip install 'evertrain[{extra}]'"
    assert ran.stdout.strip() == needed


def test_opening_the_replay_imports_no_pandas_and_no_client_of_a_market() -> None:
    code = (
        "import asyncio, sys\n"
        "from shared.contracts.terms import Timeframe\n"
        "from shared.market.providers.catalogue import open_provider\n"
        "import shared.market.store\n"
        "async def opened():\n"
        "    async with open_provider('replay', timeframe=Timeframe.D1):\n"
        "        pass\n"
        "asyncio.run(opened())\n"
        "heavy = 'numpy', 'pandas', 'fastparquet', 'shapely', 'ccxt', 'yfinance'\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
