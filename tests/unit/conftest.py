import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.support.virtual_time import VirtualTimeLoop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: this unit test needs sockets or processes")


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    """Unit tests run on virtual time: a sleep costs nothing and the order is fixed."""
    if item.get_closest_marker("real_time"):
        return None  # the loop that every other test has
    return {"virtual-time": VirtualTimeLoop}
