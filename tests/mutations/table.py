"""Every guard of the training engine, and the test that notices when it is gone."""

from typing import Final

from tests.mutations.mutant import Mutant

_DOMAIN = "services/trainer/domain"
_UNIT = "tests/unit/trainer"
_MODEL = "tests/unit/model"

_FEATURES: Final = (
    Mutant(
        guard="a feature looks at nothing later",
        file="shared/model/features.py",
        source="    usual = mean(m.volume, k)\n",
        instead="    usual = np.full(len(m.volume), m.volume.mean())\n",
        test=f"{_MODEL}/test_features.py::test_no_feature_sees_the_future",
    ),
    Mutant(
        guard="a feature looks no further back than a prediction reads",
        file="shared/model/features.py",
        source="_donchian, 20, 60, 100)",
        instead="_donchian, 20, 60, 150)",
        test=f"{_MODEL}/test_features.py"
        "::test_the_newest_rows_features_are_the_same_bits_whatever_the_history_before",
    ),
    Mutant(
        guard="a mean carries no rounding from older rows along",
        file="shared/model/windows.py",
        source="    return total(series, size) / size\n",
        instead="    sums = np.cumsum(series)\n    return (sums - lag(sums, size)) / size\n",
        test=f"{_MODEL}/test_features.py"
        "::test_the_newest_rows_features_are_the_same_bits_whatever_the_history_before",
    ),
    Mutant(
        guard="features leave room to judge splits by",
        file="shared/model/features.py",
        source="_donchian, 20, 60, 100)",
        instead="_donchian, 20, 60, 110)",
        test=f"{_MODEL}/test_features.py"
        "::test_the_values_of_a_row_come_from_its_newest_hundred_rows",
    ),
    Mutant(
        guard="a training reads the warm-up too",
        file="shared/model/history.py",
        source="MIN_WINDOW) + WARMUP",
        instead="MIN_WINDOW)",
        test=f"{_MODEL}/test_forecast.py"
        "::test_a_training_reads_its_days_and_the_warm_up_and_never_a_useless_few",
    ),
    Mutant(
        guard="a feature is what its definition says",
        file="shared/model/features.py",
        source="return mean(m.true_range, k) / m.close",
        instead="return mean(m.true_range, k) / lag(m.close, 1)",
        test=f"{_MODEL}/test_features.py::test_a_feature_is_what_its_definition_says",
    ),
    Mutant(
        guard="no feature knows what a share costs",
        file="shared/model/windows.py",
        source="    return _NOISE * np.abs(level)\n",
        instead="    return np.full(len(level), 1e-3)\n",
        test=f"{_MODEL}/test_features.py"
        "::test_no_feature_changes_with_what_a_share_costs_or_how_many_there_are",
    ),
    Mutant(
        guard="a quotient of nothing is a number",
        file="shared/model/windows.py",
        source="out=result, where=below > least)",
        instead="out=result)",
        test=f"{_MODEL}/test_features.py::test_every_feature_of_every_market_is_finite",
    ),
    Mutant(
        guard="candles that cannot be are refused",
        file="shared/model/candles.py",
        source="    _ordered(candles)\n",
        instead="",
        test=f"{_UNIT}/test_data_trouble.py::test_a_close_above_the_high_is_refused",
    ),
    Mutant(
        guard="candles are in the order of time",
        file="shared/model/candles.py",
        source='if np.any(np.diff(candles["at"]) <= 0):',
        instead='if np.any(np.diff(candles["at"]) < 0):',
        test=f"{_UNIT}/test_data_trouble.py::test_candles_twice_or_out_of_order_are_refused",
    ),
    Mutant(
        guard="one mistaken candle makes no fortune expected",
        file=f"{_DOMAIN}/outlooks.py",
        source="_within_reach(returns)\n    low",
        instead="returns\n    low",
        test=f"{_UNIT}/test_data_trouble.py"
        "::test_one_mistaken_candle_does_not_make_a_fortune_expected",
    ),
    Mutant(
        guard="what begins to move has the same bins in every part",
        file=f"{_DOMAIN}/boosters.py",
        source="        _complete(self._edges, edges)\n",
        instead="",
        test=f"{_UNIT}/test_data_trouble.py::test_a_model_of_troubled_data_is_sound",
    ),
)

_NO_SPLIT: Final = f"{_MODEL}/test_splits.py::test_what_is_no_split_is_left_alone"

_SPLITS: Final = (
    Mutant(
        guard="a training undoes splits",
        file="services/trainer/fit.py",
        source="adjusted(view(inputs.candles))",
        instead="(view(inputs.candles), ())",
        test=f"{_UNIT}/test_data_trouble.py::test_a_split_changes_nothing_but_the_note",
    ),
    Mutant(
        guard="a prediction undoes splits",
        file="shared/model/forecast.py",
        source="newest, _ = adjusted(candles[-WARMUP - 1 :])",
        instead="newest = adjusted(candles[-WARMUP - 1 :]) and candles[-WARMUP - 1 :]",
        test=f"{_MODEL}/test_splits.py"
        "::test_a_forecast_after_a_split_is_that_of_the_same_market_without",
    ),
    Mutant(
        guard="a split is undone in the volume only where that stepped",
        file="shared/model/splits.py",
        source="volume=bool(stepped)",
        instead="volume=True",
        test=f"{_MODEL}/test_splits.py::test_a_volume_that_was_adjusted_already_stays_as_it_is",
    ),
    Mutant(
        guard="a split dwarfs the usual moves",
        file="shared/model/splits.py",
        source="abs(exact) < _LEAST_STEP * usual",
        instead="abs(exact) < 0.0",
        test=_NO_SPLIT,
    ),
    Mutant(
        guard="a split is a common ratio",
        file="shared/model/splits.py",
        source="abs(step - exact) > _MOST_BESIDE * usual",
        instead="abs(step - exact) > 1.0",
        test=_NO_SPLIT,
    ),
    Mutant(
        guard="the first candle of a split is an ordinary one",
        file="shared/model/splits.py",
        source="> _MOST_RANGE * usual",
        instead="> 100.0 * usual",
        test=_NO_SPLIT,
    ),
    Mutant(
        guard="a split is no panic",
        file="shared/model/splits.py",
        source="<= most * usual_volume:",
        instead="<= 1e9 * usual_volume:",
        test=_NO_SPLIT,
    ),
    Mutant(
        guard="a candle without a trade is no split",
        file="shared/model/splits.py",
        source="not least * usual_volume <=",
        instead="not",
        test=_NO_SPLIT,
    ),
    Mutant(
        guard="after a long pause nothing is a split",
        file="shared/model/splits.py",
        source='        or first["at"] - before["at"][-1] > _LONGEST_PAUSE_MS\n',
        instead="",
        test=_NO_SPLIT,
    ),
    Mutant(
        guard="where nothing moved nothing is a split",
        file="shared/model/splits.py",
        source="        usual == 0.0\n        or abs(exact)",
        instead="        abs(exact)",
        test=_NO_SPLIT,
    ),
)

_VALIDATION: Final = (
    Mutant(
        guard="labels of what is validated on end before the test block",
        file=f"{_DOMAIN}/folds.py",
        source="known = start - purge\n",
        instead="known = start\n",
        test=f"{_UNIT}/test_folds.py"
        "::test_no_label_of_a_part_is_made_of_the_candles_of_a_later_part",
    ),
    Mutant(
        guard="labels of what is learnt from end before the validation rows",
        file=f"{_DOMAIN}/folds.py",
        source="train=range(known - valid - purge)",
        instead="train=range(known - valid)",
        test=f"{_UNIT}/test_folds.py"
        "::test_no_label_of_a_part_is_made_of_the_candles_of_a_later_part",
    ),
    Mutant(
        guard="training windows expand",
        file=f"{_DOMAIN}/folds.py",
        source="train=range(known - valid - purge)",
        instead="train=range(start - rows + folds * size, known - valid - purge)",
        test=f"{_UNIT}/test_folds.py"
        "::test_folds_expand_and_their_tests_are_adjacent_and_end_with_the_last_row",
    ),
    Mutant(
        guard="nothing after a test block is learnt from",
        file=f"{_DOMAIN}/folds.py",
        source="train=range(known - valid - purge)",
        instead="train=range(known - valid - purge + 500)",
        test=f"{_UNIT}/test_folds.py"
        "::test_nothing_after_a_test_block_is_learnt_from_so_that_no_embargo_is_needed",
    ),
    Mutant(
        guard="the purge is as long as the longest horizon",
        file=f"{_DOMAIN}/sample.py",
        source="test_rows=test_rows, purge=horizons[-1])",
        instead="test_rows=test_rows, purge=horizons[0])",
        test=f"{_UNIT}/test_sample.py::test_the_parts_of_a_fold_are_a_longest_label_apart",
    ),
    Mutant(
        guard="rows whose future is not over are not learnt from",
        file=f"{_DOMAIN}/sample.py",
        source="known = len(close) - horizons[-1]",
        instead="known = len(close) - horizons[0]",
        test=f"{_UNIT}/test_sample.py"
        "::test_the_window_is_the_plans_days_less_what_has_no_label_yet",
    ),
    Mutant(
        guard="a label is its own row's",
        file=f"{_DOMAIN}/labels.py",
        source="close[horizon:] / close[:known]",
        instead="close[horizon - 1 : -1] / close[:known]",
        test=f"{_UNIT}/test_sample.py::test_labels_belong_to_their_rows",
    ),
    Mutant(
        guard="bins are made of the first training window",
        file="services/trainer/fit.py",
        source="first = known.features[: known.folds[0].train.stop]",
        instead="first = known.features",
        test=f"{_UNIT}/test_validation.py"
        "::test_bins_of_the_validation_know_only_the_first_training_window",
    ),
    Mutant(
        guard="early stopping does not look at the test block",
        file=f"{_DOMAIN}/validation.py",
        source="train, valid, test = (slice(r.start, r.stop)"
        " for r in (fold.train, fold.valid, fold.test))",
        instead="train, valid, test = (slice(r.start, r.stop)"
        " for r in (fold.train, fold.test, fold.test))",
        test=f"{_UNIT}/test_validation.py::test_nothing_is_learnt_from_the_rows_that_are_judged_by",
    ),
    Mutant(
        guard="calibration knows labels only from before the block it is judged on",
        file=f"{_DOMAIN}/validation.py",
        source="known = max(fold.test.start - sample.horizons[-1] - first, 0)",
        instead="known = max(fold.test.start - first, 0)",
        test=f"{_UNIT}/test_validation.py"
        "::test_a_fold_is_blended_by_labels_that_were_known_when_it_began",
    ),
    Mutant(
        guard="calibration is judged out of fold",
        file=f"{_DOMAIN}/validation.py",
        source="known = max(fold.test.start - sample.horizons[-1] - first, 0)",
        instead="known = len(by_learner)",
        test=f"{_UNIT}/test_validation.py"
        "::test_a_fold_is_blended_by_labels_that_were_known_when_it_began",
    ),
    Mutant(
        guard="rows whose labels overlap count for less in the calibration",
        file=f"{_DOMAIN}/blending.py",
        source="(p - risen) / horizon + precision",
        instead="(p - risen) + precision",
        test=f"{_UNIT}/test_blending.py::test_rows_whose_labels_overlap_count_for_less",
    ),
    Mutant(
        guard="a model that was wrong is not turned round",
        file=f"{_DOMAIN}/blending.py",
        source="    if found[0] < MIN_SLOPE:\n"
        "        found, _ = _posterior(margins, risen, horizon, expected, free=_INTERCEPT)\n"
        "    return max(float(found[0]), MIN_SLOPE), float(found[1])\n",
        instead="    return float(found[0]), float(found[1])\n",
        test=f"{_UNIT}/test_blending.py"
        "::test_a_model_that_was_always_wrong_is_muted_and_not_turned_round",
    ),
    Mutant(
        guard="effective rows share no candles",
        file=f"{_DOMAIN}/scores.py",
        source="effective_rows=len(labels) / horizon",
        instead="effective_rows=float(len(labels))",
        test=f"{_UNIT}/test_scores.py::test_effective_rows_are_those_that_share_no_candles",
    ),
    Mutant(
        guard="an interval counts the rows that are independent",
        file=f"{_DOMAIN}/scores.py",
        source="worth = independent_rows(labels, probabilities)",
        instead="worth = float(len(labels))",
        test=f"{_UNIT}/test_scores.py::test_intervals_hold_one_half_where_forecasts_know_nothing",
    ),
    Mutant(
        guard="one class only has no ROC AUC",
        file=f"{_DOMAIN}/scores.py",
        source="    if not ups or not downs:\n        return None\n",
        instead="    if not ups or not downs:\n        return 1.0\n",
        test=f"{_UNIT}/test_scores.py::test_rows_of_one_class_have_no_roc_auc",
    ),
    Mutant(
        guard="an update learns from labels that end before its block",
        file=f"{_DOMAIN}/updates.py",
        source="slice(max(end - self.window, 0), end - horizon)",
        instead="slice(max(end - self.window, 0), end)",
        test=f"{_UNIT}/test_updates.py::test_no_label_looks_beyond_the_end_of_what_is_learnt",
    ),
    Mutant(
        guard="an update is judged on rows that its base has not seen",
        file=f"{_DOMAIN}/updates.py",
        source="min(max(known - (len(self.at) - self.unseen), 0) // 2, most)",
        instead="min(known // 2, most)",
        test=f"{_UNIT}/test_updates.py"
        "::test_a_block_is_the_newer_half_of_what_the_base_has_not_seen",
    ),
)

MUTANTS: Final = (*_FEATURES, *_SPLITS, *_VALIDATION)
