"""Probabilities and their log-odds."""

import numpy as np
import numpy.typing as npt


def sigmoid(margin: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The probability of log-odds; beyond 40 it would round to certainty, so it stops there."""
    result: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(margin, -40.0, 40.0)))
    return result


def logit(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of `sigmoid`, for probabilities above 0 and below 1."""
    inside = np.clip(probability, 1e-15, 1.0 - 1e-15)
    result: npt.NDArray[np.float64] = np.log(inside / (1.0 - inside))
    return result
