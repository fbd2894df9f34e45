import numpy as np
import pytest

from shared.contracts.errors import CandlesRefused
from shared.market import candles as market
from shared.model.candles import ROW, view
from tests.support.markets import random_walk


def test_packed_candles_and_their_view_agree() -> None:
    packed = market.pack(
        [market.Candle(60_000 * n, 1.5, 4.5, 0.5, 2.5, 100.0 * n) for n in range(1, 4)]
    )
    assert [market.Candle(*row) for row in view(packed).tolist()] == market.unpack(packed)
    assert ROW.itemsize == market.ROW.size


def test_nothing_is_copied_and_nothing_can_be_changed() -> None:
    rows = view(random_walk(3).tobytes())
    assert not rows.flags.owndata
    assert not rows.flags.writeable


def test_no_candles_are_candles() -> None:
    assert len(view(b"")) == 0


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e22])
def test_a_number_that_no_feature_can_be_made_of_is_refused_with_its_candle(
    name: str, value: float
) -> None:
    rows = random_walk(5)
    rows[name][3] = value
    with pytest.raises(CandlesRefused, match=f"{name} is .* in the candle at {rows['at'][3]} ms"):
        view(rows.tobytes())


def test_a_price_of_zero_is_refused_and_a_volume_of_zero_is_not() -> None:
    rows = random_walk(5)
    rows["volume"][2] = 0.0
    view(rows.tobytes())
    rows["low"][2] = 0.0
    with pytest.raises(CandlesRefused, match="low is 0"):
        view(rows.tobytes())


@pytest.mark.parametrize("order", [[0, 2, 1], [0, 1, 1]])
def test_candles_out_of_order_or_twice_are_refused(order: list[int]) -> None:
    with pytest.raises(CandlesRefused, match="order of time"):
        view(random_walk(3)[order].tobytes())


def test_half_a_candle_is_refused() -> None:
    with pytest.raises(CandlesRefused, match="whole 48-byte candles"):
        view(random_walk(3).tobytes()[:-1])


@pytest.mark.parametrize("name", ["open", "close"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_price_outside_of_the_candles_range_is_refused(name: str, factor: float) -> None:
    rows = random_walk(5)
    rows[name][3] *= factor
    with pytest.raises(CandlesRefused, match=f"{name} is not between .* at {rows['at'][3]} ms"):
        view(rows.tobytes())


def test_a_high_below_the_low_is_refused() -> None:
    rows = random_walk(5)
    rows["high"][3], rows["low"][3] = rows["low"][3], rows["high"][3]
    with pytest.raises(CandlesRefused, match="not between low and high"):
        view(rows.tobytes())
