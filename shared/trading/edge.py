"""How much of what a forecast says is proven, for those who stake money on it."""

import math
from statistics import NormalDist
from typing import Final

from shared.contracts.records import Score

_NORMAL: Final = NormalDist()

#: One-sided 95 %.
_Z: Final = 1.644854

_CERTAIN: Final = 1e-12


def proven_edge(p_up: float, score: Score) -> float:
    """The probability of the likelier direction over 0.5, as far as the ensemble's `score` of this
    horizon proves it; 0 where it proves nothing.

    The log-odds of the forecast are multiplied by what the unseen rows prove of their scale, over
    what they found: from 0 to 1, and the lesser one of two.

    - *Ranking.* If the log-odds are normal before rises and before falls, with means that are as
      far apart as their variance (which is what calibrated ones are), then the ROC AUC is
      Phi(d / sqrt 2) for means d standard deviations apart (Green and Swets, 1966), and for the
      same rank the log-odds grow with d. Proven is the d of the interval's lower bound less that of
      the 95 % quantile of what chance gets; found is the d of the ROC AUC itself.
    - *Calibration.* Proven is the slope less 1.64 of its standard errors; found is the slope.

    It never exceeds `|p_up - 0.5|`, and grows with it.
    """
    said = abs(p_up - 0.5)
    share = min(_ranked(score), _calibrated(score))
    confidence = min(0.5 + said, 1.0 - _CERTAIN)
    margin = share * math.log(confidence / (1.0 - confidence))
    return min(0.5 * math.tanh(margin / 2.0), said)


def _ranked(score: Score) -> float:
    if score.roc_auc is None or score.roc_auc_interval is None or score.roc_auc_null_high is None:
        return 0.0
    chance = max(score.roc_auc_null_high, 0.5)
    proven = _separation(score.roc_auc_interval[0]) - _separation(chance)
    return _share(proven, _separation(score.roc_auc))


def _separation(roc_auc: float) -> float:
    return math.sqrt(2.0) * _NORMAL.inv_cdf(min(max(roc_auc, _CERTAIN), 1.0 - _CERTAIN))


def _calibrated(score: Score) -> float:
    if score.slope is None or score.slope_error is None:
        return 0.0
    return _share(score.slope - _Z * score.slope_error, score.slope)


def _share(proven: float, found: float) -> float:
    return min(proven / found, 1.0) if proven > 0.0 and found > 0.0 else 0.0
