import subprocess
import sys
from pathlib import Path

import pytest

from shared.contracts.errors import InvalidSetting
from shared.contracts.terms import Timeframe
from shared.market.providers.catalogue import open_provider
from shared.market.providers.files import Files
from shared.market.providers.replay import Replay
from shared.market.providers.synthetic import Synthetic


async def test_each_setting_opens_its_provider(tmp_path: Path) -> None:
    assert isinstance(await open_provider("replay", timeframe=Timeframe.D1), Replay)
    assert isinstance(await open_provider("synthetic", timeframe=Timeframe.M15), Synthetic)
    assert isinstance(await open_provider(f"files:{tmp_path}", timeframe=Timeframe.H1), Files)


async def test_the_number_of_synthetic_symbols_can_be_given() -> None:
    provider = await open_provider("synthetic:545", timeframe=Timeframe.M15)
    assert len(provider.symbols()) == 545


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ccxt:binance", "DATA_PROVIDER=ccxt:binance is not available: choose from replay, "),
        ("yfinance", "choose from replay, synthetic, synthetic:COUNT and files:DIR"),
        ("replay:fast", "is not available"),
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
        await open_provider(name, timeframe=Timeframe.D1)


async def test_a_replay_of_another_timeframe_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidSetting, match="set it to 1d"):
        await open_provider("replay", timeframe=Timeframe.M15)


def test_opening_the_replay_imports_no_pandas() -> None:
    code = (
        "import asyncio, sys\n"
        "from shared.contracts.terms import Timeframe\n"
        "from shared.market.providers.catalogue import open_provider\n"
        "import shared.market.store\n"
        "asyncio.run(open_provider('replay', timeframe=Timeframe.D1))\n"
        "print([m for m in ('numpy', 'pandas', 'fastparquet', 'shapely') if m in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
