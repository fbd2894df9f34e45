"""Student's t: how often a mean of few numbers is so far off by chance."""

import math


def two_sided(t: float, freedom: int) -> float:
    """The probability of a value at least as far from 0 as `t`, for whole degrees of freedom from 1
    on (Abramowitz and Stegun 26.7.3 and 26.7.4, which are finite sums). Right to about 1e-15, so
    anything smaller comes out as 0 or as noise of that size.
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    square, odd = math.cos(angle) ** 2, freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for step in range(odd + 2, freedom + 1, 2):
        total += term
        term *= square * (step - 1) / step
    inside = math.sin(angle) * total
    if odd:
        inside = (angle + inside) * 2.0 / math.pi
    return min(max(1.0 - inside, 0.0), 1.0)
