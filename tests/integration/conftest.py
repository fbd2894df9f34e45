from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    """A blocking call made by our own code on the event loop fails the test that made it."""
    with blockbuster_ctx(["services", "shared"]):
        yield
