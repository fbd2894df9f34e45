"""Whether a difference, measured row by row, is more than chance."""

from typing import Final

import numpy as np
import numpy.typing as npt

#: With fewer blocks their spread is not known well enough to judge by.
MIN_BLOCKS: Final = 6

_Z: Final = 2.3263478740408408


def lower_bound(differences: npt.NDArray[np.float64], block: int) -> float | None:
    """What the true mean exceeds with 99 % confidence, by Student's t over the means of whole
    blocks of `block` rows, the newest; None where there are fewer than `MIN_BLOCKS`.

    Rows that are neighbours share the candles of their labels. Blocks as long as a label looks
    ahead share some with the next block only; where labels overlap in full, the means of two such
    blocks correlate by 1/4, which makes the variance of the whole mean larger by half.
    """
    blocks = len(differences) // block
    if blocks < MIN_BLOCKS:
        return None
    means = differences[-blocks * block :].reshape(blocks, block).mean(axis=1)
    shared = 1.5 if block > 1 else 1.0
    error = float(means.std(ddof=1)) * np.sqrt(shared / blocks)
    return float(means.mean() - student(_Z, blocks - 1) * error)


def student(normal: float, freedom: float) -> float:
    """The quantile of Student's t for the same probability as the quantile `normal` of the normal
    distribution (Abramowitz and Stegun 26.7.5): within 0.4 % from 5 degrees of freedom on for 99 %,
    and a quarter too small for 95 % at 1.
    """
    z = normal
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
