"""How long to wait before trying again."""

import random
from collections.abc import Iterator


def backoff(first: float, *, most: float, factor: float = 2.0) -> Iterator[float]:
    """Endless delays in seconds, growing by `factor` up to `most`, each shortened at random by up
    to a half, so that many who failed together do not come back together.
    """
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secrecy
        delay = min(delay * factor, most)
