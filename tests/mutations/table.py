"""Every guard of the training engine, and the test that notices when it is gone."""

from typing import Final

from tests.mutations.mutant import Mutant

_DOMAIN = "services/trainer/domain"
_UNIT = "tests/unit/trainer"
_MODEL = "tests/unit/model"
_CLIENTS = "tests/unit/gateway/test_gateway"
_TRADER = "tests/unit/predictor/test_trader.py"
_TRADING = "tests/unit/trading/test_settlement.py"
_BUS = "tests/integration/test_ledger_bus.py"
_COPIES = "tests/integration/test_trading_copies.py"
_LIGHT = (
    "tests/unit/architecture/test_light_processes.py::test_a_light_process_imports_no_heavy_library"
)

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
        source="_within_reach(scaled[known])",
        instead="scaled[known]",
        test=f"{_UNIT}/test_data_trouble.py"
        "::test_one_mistaken_candle_does_not_make_a_fortune_expected",
    ),
    Mutant(
        guard="an interval is wider while the market is wild",
        file="shared/model/reach.py",
        source="_POWER: Final = 0.75",
        instead="_POWER: Final = 0.0",
        test=f"{_UNIT}/test_outlooks.py"
        "::test_intervals_hold_as_often_in_wild_times_as_in_calm_ones",
    ),
    Mutant(
        guard="errors that share candles count less",
        file=f"{_DOMAIN}/outlooks.py",
        source="_SHARED: Final = 0.6",
        instead="_SHARED: Final = 0.0",
        test=f"{_UNIT}/test_outlooks.py"
        "::test_even_few_errors_bound_the_next_one_as_often_as_stated",
    ),
    Mutant(
        guard="an edge is what is above chance",
        file="shared/trading/edge.py",
        source="chance = max(score.roc_auc_null_high, 0.5)",
        instead="chance = 0.5",
        test="tests/unit/trading/test_edge.py"
        "::test_nothing_is_proven_where_the_interval_reaches_what_chance_gets",
    ),
    Mutant(
        guard="what begins to move has the same bins in every part",
        file=f"{_DOMAIN}/boosters.py",
        source="        columns[:, still] = quantiles[0, still]\n",
        instead="",
        test=f"{_UNIT}/test_validation.py"
        "::test_a_fold_is_the_same_whatever_comes_after_its_test_block",
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
        source="first = known.folds[0].train",
        instead="first = range(len(known.features))",
        test=f"{_UNIT}/test_validation.py"
        "::test_bins_of_the_validation_know_only_the_first_training_window",
    ),
    Mutant(
        guard="early stopping does not look at the test block",
        file=f"{_DOMAIN}/validation.py",
        source="learner.study(fold.train, fold.valid)",
        instead="learner.study(fold.train, fold.test)",
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

_SERVING: Final = (
    Mutant(
        guard="packed trees are compared with the library's own before promotion",
        file="services/trainer/fit.py",
        source="    check_packed(model, fitted, known.features)\n",
        instead="",
        test=f"{_UNIT}/test_fit.py::test_a_booster_that_is_not_packed_exactly_fails_the_job",
    ),
    Mutant(
        guard="packed trees of an update are compared too",
        file=f"{_DOMAIN}/updates.py",
        source="    check_packed(model, updated.boosters, recent.features)\n",
        instead="",
        test=f"{_UNIT}/test_updates.py::test_an_update_that_is_not_packed_exactly_fails_the_job",
    ),
    Mutant(
        guard="packed trees that give no number are not equal to anything",
        file=f"{_DOMAIN}/soundness.py",
        source="if not gap <= _TOLERANCE:",
        instead="if gap > _TOLERANCE:",
        test=f"{_UNIT}/test_soundness.py::test_a_booster_that_says_something_else_is_named",
    ),
    Mutant(
        guard="packed trees may differ by a hundred-thousandth",
        file=f"{_DOMAIN}/soundness.py",
        source="_TOLERANCE: Final = 1e-5",
        instead="_TOLERANCE: Final = 1e-4",
        test=f"{_UNIT}/test_soundness.py::test_a_booster_that_says_something_else_is_named",
    ),
    Mutant(
        guard="an artifact is read only if its checksum is right",
        file="shared/model/artifact.py",
        source="if digest != data[len(_MAGIC) : _HEAD - _LENGTH.size]:",
        instead="if not digest:",
        test=f"{_MODEL}/test_artifact.py::test_one_flipped_bit_is_refused",
    ),
    Mutant(
        guard="a library reads native trees only if their checksum is right",
        file=f"{_DOMAIN}/natives.py",
        source="if hashlib.sha256(memoryview(data)[_DIGEST.stop :]).digest() != data[_DIGEST]:",
        instead="if not hashlib.sha256(memoryview(data)[_DIGEST.stop :]).digest():",
        test=f"{_UNIT}/test_natives.py::test_not_one_bit_may_be_another",
    ),
    Mutant(
        guard="a base unpacks to no more than it says",
        file=f"{_DOMAIN}/natives.py",
        source="unpacker.decompress(memoryview(data)[_HEAD:], size)",
        instead="unpacker.decompress(memoryview(data)[_HEAD:])[:size]",
        test=f"{_UNIT}/test_natives.py::test_nothing_is_unpacked_beyond_the_size_it_states",
    ),
    Mutant(
        guard="an artifact from the store has the hash that it was asked by",
        file="shared/bus/objects.py",
        source="if hashlib.sha256(data).hexdigest() != name:",
        instead="if not name:",
        test="tests/integration/test_objects.py::test_a_damaged_chunk_is_refused",
    ),
    Mutant(
        guard="an artifact from the disk has the hash that it was asked by",
        file="services/predictor/adapters/artifacts.py",
        source="if hashlib.sha256(data).hexdigest() == sha256:",
        instead="if data:",
        test="tests/unit/predictor/test_artifact_files.py::test_no_flipped_bit_is_ever_given_away",
    ),
    Mutant(
        guard="trees read no feature that there is not",
        file="shared/model/forest.py",
        source="            and int(self.feature.max(initial=0)) < features\n",
        instead="",
        test=f"{_MODEL}/test_forest.py::test_tables_that_do_not_fit_together_are_refused",
    ),
    Mutant(
        guard="trees hold numbers within reason",
        file="shared/model/forest.py",
        source="            and bool(np.all(np.abs(self.leaf) <= _MOST))\n",
        instead="",
        test=f"{_MODEL}/test_forest.py::test_tables_that_do_not_fit_together_are_refused",
    ),
    Mutant(
        guard="the basic model holds numbers within reason",
        file="shared/model/linear.py",
        source="            and bool(np.all(np.abs(self.weights) <= _MOST))\n",
        instead="",
        test=f"{_UNIT}/test_soundness.py::test_a_model_with_a_number_beyond_reason_is_unsound",
    ),
    Mutant(
        guard="a model is checked when it is read",
        file="shared/model/artifact.py",
        source="    model.check()\n    return model\n",
        instead="    return model\n",
        test=f"{_MODEL}/test_artifact.py::test_forged_numbers_are_refused_or_give_finite_numbers",
    ),
    Mutant(
        guard="a file holds what it says and no more",
        file="shared/model/artifact.py",
        source="    if offset != len(data):\n",
        instead="    if offset > len(data):\n",
        test=f"{_MODEL}/test_artifact.py::test_forged_shapes_are_refused",
    ),
    Mutant(
        guard="a model reads only the features that it learnt from",
        file="shared/model/forecast.py",
        source="    if model.card.spec != SPEC:\n",
        instead="    if not SPEC:\n",
        test=f"{_MODEL}/test_forecast.py::test_a_model_of_other_features_is_refused",
    ),
    Mutant(
        guard="the predictor says at once that a model reads other features",
        file="shared/model/opening.py",
        source="    if card.spec != SPEC:\n",
        instead="    if not SPEC:\n",
        test="tests/unit/predictor/test_model_cache.py::test_a_model_of_other_features_is_refused",
    ),
    Mutant(
        guard="an update starts from a base of the same features",
        file=f"{_DOMAIN}/updates.py",
        source="    if card.spec != SPEC:\n",
        instead="    if not SPEC:\n",
        test=f"{_UNIT}/test_updates.py::test_a_base_of_other_libraries_or_features_is_none",
    ),
    Mutant(
        guard="an update starts from a base of the same libraries",
        file=f"{_DOMAIN}/updates.py",
        source="    if card.libraries != versions():\n",
        instead="    if not versions():\n",
        test=f"{_UNIT}/test_updates.py::test_a_base_of_other_libraries_or_features_is_none",
    ),
    Mutant(
        guard="nothing is unpickled",
        file=f"{_DOMAIN}/natives.py",
        source="import json\n",
        instead="import json\nimport pickle\n",
        test="tests/unit/architecture/test_no_pickle.py::test_no_module_reads_what_runs_code",
    ),
    Mutant(
        guard="the predictor imports no learning library",
        file="services/predictor/adapters/models.py",
        source="import math\n",
        instead="import math\nimport lightgbm\n",
        test=_LIGHT,
    ),
)

_POOL: Final = "tests/integration/test_pool.py"

_ISOLATION: Final = (
    Mutant(
        guard="the trainer imports no learning library",
        file="services/trainer/__main__.py",
        source="import asyncio\n",
        instead="import asyncio\nimport services.trainer.fit\n",
        test=_LIGHT,
    ),
    Mutant(
        guard="every job has a process of its own",
        file="services/trainer/adapters/forkserver.py",
        source="        child = os.fork()\n        if not child:\n"
        "            self._become_child(server, status)\n",
        instead="        child = 0\n        if not child:\n",
        test=f"{_POOL}::test_every_job_has_a_process_of_its_own",
    ),
    Mutant(
        guard="no more children than processes",
        file="services/trainer/adapters/pool.py",
        source="asyncio.Semaphore(processes)",
        instead="asyncio.Semaphore(processes + 3)",
        test=f"{_POOL}::test_no_more_jobs_run_at_once_than_there_are_processes",
    ),
    Mutant(
        guard="a child has the lowest priority",
        file="services/trainer/adapters/forkserver.py",
        source="    _yield_to_everyone()\n    with",
        instead="    with",
        test=f"{_POOL}::test_children_yield_to_everything_else_in_their_parents_session",
    ),
    Mutant(
        guard="a child has a memory cap",
        file="services/trainer/adapters/forkserver.py",
        source="    _cap_memory(memory_mb)\n    try:",
        instead="    try:",
        test=f"{_POOL}::test_what_a_child_does_is_its_jobs_typed_failure_and_the_next_job_succeeds",
    ),
    Mutant(
        guard="a child has a deadline",
        file="services/trainer/adapters/pool.py",
        source="asyncio.timeout(deadline_s)",
        instead="asyncio.timeout(20 * deadline_s)",
        test=f"{_POOL}::test_a_child_that_hangs_is_ended_at_its_deadline",
    ),
    Mutant(
        guard="a child that ignores signals ends when it is told to",
        file="services/trainer/adapters/pool.py",
        source="os.kill(self.pid, signal.SIGKILL)",
        instead="os.kill(self.pid, signal.SIGTERM)",
        test=f"{_POOL}::test_cancelling_kills_the_child_and_frees_its_place",
    ),
    Mutant(
        guard="cancelling ends the child",
        file="services/trainer/adapters/pool.py",
        source="                await child.end()\n",
        instead="                pass\n",
        test=f"{_POOL}::test_cancelling_kills_the_child_and_frees_its_place",
    ),
    Mutant(
        guard="a child dies with the fork server",
        file="services/trainer/adapters/forkserver.py",
        source="        die_with_parent(signal.SIGKILL)\n",
        instead="",
        test=f"{_POOL}::test_a_dead_fork_server_fails_its_jobs_and_is_replaced",
    ),
    Mutant(
        guard="the fork server ends with its trainer",
        file="services/trainer/adapters/forkserver.py",
        source="                if said != FORK:\n                    return\n",
        instead="                if said != FORK:\n                    continue\n",
        test=f"{_POOL}::test_no_process_outlives_a_trainer_that_is_killed",
    ),
    Mutant(
        guard="a crash is the job's own failure, with its kind",
        file="services/trainer/adapters/pool.py",
        source='            raise Crashed(f"the training process {await self._end()}") from exc\n',
        instead="            raise\n",
        test=f"{_POOL}::test_what_a_child_does_is_its_jobs_typed_failure_and_the_next_job_succeeds",
    ),
    Mutant(
        guard="what is no answer is a crash",
        file="services/trainer/adapters/pool.py",
        source="        except Garbled as exc:\n",
        instead="        except ZeroDivisionError as exc:\n",
        test=f"{_POOL}::test_what_a_child_does_is_its_jobs_typed_failure_and_the_next_job_succeeds",
    ),
    Mutant(
        guard="want of memory has a kind of its own",
        file="services/trainer/adapters/forkserver.py",
        source="if isinstance(exc, MemoryError) or any(",
        instead="if not text and any(",
        test=f"{_POOL}::test_what_a_child_does_is_its_jobs_typed_failure_and_the_next_job_succeeds",
    ),
    Mutant(
        guard="a signal to the process group ends no child",
        file="services/trainer/adapters/forkserver.py",
        source="        signal.signal(signum, signal.SIG_IGN)\n",
        instead="        pass\n",
        test=f"{_POOL}::test_a_signal_to_the_whole_process_group_ends_no_job",
    ),
    Mutant(
        guard="a killed child leaves no files",
        file=f"{_DOMAIN}/boosters.py",
        source="    with tempfile.TemporaryFile() as file:\n",
        instead="    with tempfile.NamedTemporaryFile() as file:\n",
        test=f"{_UNIT}/test_learners.py::test_no_file_is_left_of_a_fit_that_is_killed",
    ),
    Mutant(
        guard="a fork server that has died is replaced",
        file="services/trainer/adapters/pool.py",
        source="self._server is not None and self._server.ended:",
        instead="self._server is not None and False:",
        test=f"{_POOL}::test_a_fork_server_that_died_idle_is_replaced_unnoticed",
    ),
)

_GATE: Final = (
    Mutant(
        guard="a difference within the margin is no ground to refuse",
        file="shared/contracts/records.py",
        source="self.excess_low > self.margin",
        instead="self.excess_low > 0.0",
        test=f"{_UNIT}/test_gate.py::test_a_difference_within_the_margin_is_let_pass",
    ),
    Mutant(
        guard="a bare difference is no ground to refuse",
        file=f"{_DOMAIN}/gate.py",
        source="excess_low=lower_bound(excess, kept[-1])",
        instead="excess_low=float(excess.mean())",
        test=f"{_UNIT}/test_gate.py::test_equal_models_are_seldom_refused_on_small_samples",
    ),
    Mutant(
        guard="rows whose labels overlap are compared in blocks",
        file=f"{_DOMAIN}/gate.py",
        source="excess_low=lower_bound(excess, kept[-1])",
        instead="excess_low=lower_bound(excess, 1)",
        test=f"{_UNIT}/test_gate.py::test_rows_that_share_candles_do_not_count_twice",
    ),
    Mutant(
        guard="blocks that share candles are worth less",
        file=f"{_DOMAIN}/evidence.py",
        source="shared = 1.5 if block > 1 else 1.0",
        instead="shared = 0.75",
        test=f"{_UNIT}/test_evidence.py::test_the_bound_is_above_the_truth_in_few_cases",
    ),
    Mutant(
        guard="what is worse is refused",
        file=f"{_DOMAIN}/gate.py",
        source="ours - surprise(unseen.truth[rows], theirs)",
        instead="surprise(unseen.truth[rows], theirs) - ours",
        test=f"{_UNIT}/test_gate.py::test_a_model_that_learnt_from_shuffled_labels_is_refused",
    ),
    Mutant(
        guard="rows that the live model learnt from do not count",
        file=f"{_DOMAIN}/gate.py",
        source="later = np.flatnonzero(unseen.at > rival.card.candle_at_ms)",
        instead="later = np.arange(len(unseen.at))",
        test=f"{_UNIT}/test_gate.py::test_rows_that_the_live_model_learnt_from_do_not_count",
    ),
    Mutant(
        guard="too few rows are no ground to refuse",
        file=f"{_DOMAIN}/evidence.py",
        source="    if blocks < MIN_BLOCKS:\n",
        instead="    if blocks < 2:\n",
        test=f"{_UNIT}/test_evidence.py::test_too_few_blocks_prove_nothing",
    ),
    Mutant(
        guard="a model that a reader would refuse is not written",
        file="shared/model/artifact.py",
        source="    decode(data)\n    return data\n",
        instead="    return data\n",
        test=f"{_UNIT}/test_soundness.py::test_a_model_with_a_number_beyond_reason_is_unsound",
    ),
    Mutant(
        guard="a model that is too large is unsound",
        file=f"{_DOMAIN}/soundness.py",
        source="    if len(artifact) > _MOST_BYTES:\n",
        instead="    if not artifact:\n",
        test=f"{_UNIT}/test_soundness.py::test_a_model_whose_file_is_too_large_is_unsound",
    ),
    Mutant(
        guard="a model that is too slow is unsound",
        file=f"{_DOMAIN}/soundness.py",
        source="    if trees > _MOST_TREES:\n",
        instead="    if not trees:\n",
        test=f"{_UNIT}/test_soundness.py::test_a_model_that_would_be_slow_to_ask_is_unsound",
    ),
    Mutant(
        guard="a refusal keeps the live model",
        file="services/trainer/job.py",
        source="if result.verdict and result.verdict.refused:",
        instead="if result.verdict and result.verdict.note == 'never':",
        test=f"{_UNIT}/test_job.py::test_a_model_that_is_worse_than_the_live_one_does_not_replace_it",
    ),
    Mutant(
        guard="an older lease does not promote over a newer",
        file="services/trainer/adapters/registry.py",
        source="live.token >= model.token:",
        instead="live.token < 0:",
        test="tests/integration/test_registry.py"
        "::test_an_older_lease_or_the_same_one_does_not_promote_over_a_newer",
    ),
    Mutant(
        guard="a token of another lock store says nothing",
        file="services/trainer/adapters/registry.py",
        source="live.epoch == model.epoch and ",
        instead="",
        test="tests/integration/test_registry.py::test_a_token_of_another_lock_store_says_nothing",
    ),
    Mutant(
        guard="a promotion replaces the very model that it compared itself with",
        file="services/trainer/adapters/registry.py",
        source="            await self._models.update(key, codec.encode(model), entry.revision)\n",
        instead="            now = await self._models.get(key) or entry\n"
        "            await self._models.update(key, codec.encode(model), now.revision)\n",
        test="tests/integration/test_registry.py"
        "::test_promotions_that_race_leave_the_newest_and_lose_none",
    ),
)

_SEARCH: Final = (
    Mutant(
        guard="parameters for a window are chosen by what was known when it began",
        file=f"{_DOMAIN}/evolution.py",
        source="chosen = [best(window)",
        instead="chosen = [best(WINDOWS)",
        test=f"{_UNIT}/test_evolution.py::test_no_window_knows_what_is_only_seen_in_it",
    ),
    Mutant(
        guard="a trade that is still open is not known",
        file=f"{_DOMAIN}/evolution.py",
        source="        total = self.total[:, :window].sum(axis=1) - self.purged_total[:, last]\n",
        instead="        total = self.total[:, :window].sum(axis=1)\n",
        test=f"{_UNIT}/test_evolution.py"
        "::test_a_trade_that_was_open_when_a_window_began_was_not_known_then",
    ),
    Mutant(
        guard="a trade that may outlast its window counts as open",
        file=f"{_DOMAIN}/replay.py",
        source="purged = row + horizons[horizon] >= stop",
        instead="purged = row >= stop",
        test=f"{_UNIT}/test_replay.py::test_what_may_outlast_its_window_is_marked",
    ),
    Mutant(
        guard="the stop-loss is taken to come first",
        file=f"{_DOMAIN}/replay.py",
        source="stopped == first]",
        instead="reached != first]",
        test=f"{_UNIT}/test_replay.py::test_a_replay_is_every_signal_settled_one_by_one",
    ),
    Mutant(
        guard="a signal that opens beyond its levels is no trade",
        file=f"{_DOMAIN}/replay.py",
        source="        missed = at_open & (candle == row + 1)\n",
        instead="        missed = at_open & (candle < row)\n",
        test=f"{_UNIT}/test_replay.py::test_a_replay_is_every_signal_settled_one_by_one",
    ),
    Mutant(
        guard="what the best of many gains by luck adopts nothing",
        file=f"{_DOMAIN}/adoption.py",
        source="    if c.by_luck:\n",
        instead="    if c.by_luck and not trades:\n",
        test=f"{_UNIT}/test_adoption.py::test_what_the_best_of_many_gets_by_luck_adopts_nothing",
    ),
    Mutant(
        guard="to lose less is not to gain",
        file=f"{_DOMAIN}/adoption.py",
        source="for gained in (chosen, chosen - before)]",
        instead="for gained in (chosen - before,)]",
        test=f"{_UNIT}/test_adoption.py::test_to_lose_less_is_not_to_gain",
    ),
    Mutant(
        guard="a gain over the present parameters has to be sure",
        file=f"{_DOMAIN}/adoption.py",
        source="for gained in (chosen, chosen - before)]",
        instead="for gained in (chosen,)]",
        test=f"{_UNIT}/test_adoption.py::test_more_than_the_present_parameters_must_be_sure_too",
    ),
    Mutant(
        guard="half of the windows are not most",
        file=f"{_DOMAIN}/adoption.py",
        source="    if 2 * c.windows_better <= len(c.windows):\n",
        instead="    if 2 * c.windows_better < len(c.windows):\n",
        test=f"{_UNIT}/test_adoption.py::test_half_of_the_windows_are_not_most",
    ),
    Mutant(
        guard="a run adopts once",
        file=f"{_DOMAIN}/attempts.py",
        source="    if any(known.run_id == attempt.run_id for known in stored.history):\n",
        instead="    if attempt in stored.history:\n",
        test=f"{_UNIT}/test_job.py::test_a_job_whose_worker_died_before_its_end_adopts_once",
    ),
    Mutant(
        guard="an older holder notes no attempt over a newer one's",
        file=f"{_DOMAIN}/attempts.py",
        source="stored.token >= token:",
        instead="stored.token < 0:",
        test=f"{_UNIT}/test_attempts.py::test_an_older_holder_is_fenced",
    ),
)

_RETURN: Final = (
    Mutant(
        guard="a model that was rolled back from is never gone back to by itself",
        file=f"{_DOMAIN}/lineage.py",
        source="led[-1].created_at >= model.created_at",
        instead="led[-1].created_at == model.created_at",
        test=f"{_UNIT}/test_lineage.py"
        "::test_after_a_rollback_and_a_training_the_model_that_was_refused_is_not_gone_back_to",
    ),
    Mutant(
        guard="a rollback has a new token",
        file="services/trainer/rollback.py",
        source="            token=lease.token,\n            epoch=lease.epoch,\n",
        instead="",
        test="tests/integration/test_rollback.py"
        "::test_an_earlier_model_lives_again_with_a_newer_token",
    ),
    Mutant(
        guard="a rollback is carried out once",
        file="services/trainer/rollback.py",
        source="model.rolled_back.request_id == request.request_id",
        instead="not request.request_id",
        test=f"{_UNIT}/test_rollback.py::test_a_late_repeat_leaves_alone_what_was_promoted_since",
    ),
    Mutant(
        guard="what a rollback needs is not deleted meanwhile",
        file="services/trainer/rollback.py",
        source="        await self._registry.store(artifact)\n",
        instead="",
        test=f"{_UNIT}/test_rollback.py"
        "::test_no_clean_up_comes_between_the_look_at_the_files_and_the_promotion",
    ),
    Mutant(
        guard="a clean-up leaves the live model, however old",
        file=f"{_DOMAIN}/retention.py",
        source="        yield models[-1]\n",
        instead="        yield from ()\n",
        test=f"{_UNIT}/test_retention.py::test_the_live_model_is_needed_however_old_it_is",
    ),
    Mutant(
        guard="a clean-up leaves what was just stored",
        file="services/trainer/cleanup.py",
        source="artifact.name in names or not aged_out(artifact.stored_at, self._retention, now)",
        instead="artifact.name in names",
        test=f"{_UNIT}/test_cleanup.py"
        "::test_what_was_stored_a_moment_ago_stays_until_the_registry_names_it",
    ),
    Mutant(
        guard="what was stored again is not deleted",
        file="shared/bus/objects.py",
        source=", seq=artifact.sequence + 1",
        instead="",
        test="tests/integration/test_objects.py"
        "::test_what_was_stored_again_since_it_was_listed_stays",
    ),
    Mutant(
        guard="what another model foretold is not given as fresh",
        file="services/gateway/domain/copies.py",
        source="if prediction.stale or prediction.model_version == live:",
        instead="if live:",
        test="tests/unit/gateway/test_gateway_facts.py"
        "::test_when_another_model_goes_live_listeners_hear_that_what_they_have_is_stale",
    ),
)

_LEDGER: Final = (
    Mutant(
        guard="a float of money is the decimal that it is written as",
        file="shared/trading/settlement.py",
        source="Fraction(repr(number))",
        instead="Fraction(number)",
        test=f"{_TRADING}::test_a_float_is_taken_for_the_decimal_it_is_written_as",
    ),
    Mutant(
        guard="no more than the stake is lost",
        file="shared/trading/settlement.py",
        source="max(round(gross), stake_is_gone)",
        instead="round(gross)",
        test=f"{_TRADING}::test_no_more_than_the_stake_can_be_lost",
    ),
    Mutant(
        guard="of two levels in one candle the stop-loss counts",
        file="shared/trading/settlement.py",
        source="        if self._stopped(worst):\n",
        instead="        if self._stopped(worst) and not self._reached(best):\n",
        test=f"{_TRADING}::test_of_both_touched_in_one_candle_the_stop_loss_counts",
    ),
    Mutant(
        guard="a gap beyond the take-profit gives no more than was asked",
        file="shared/trading/settlement.py",
        source="_Fill(at_ms, self.take_profit)",
        instead="_Fill(at_ms, opened)",
        test=f"{_TRADING}::test_a_gap_beyond_the_take_profit_gives_no_more_than_was_asked",
    ),
    Mutant(
        guard="an ending is told before the signal is let go of",
        file="services/predictor/handlers/ledger.py",
        source="        await self._book.tell(kept)\n        await self._book.release(opened)\n",
        instead="        await self._book.release(opened)\n        await self._book.tell(kept)\n",
        test="tests/unit/predictor/test_ledger.py"
        "::test_killed_at_any_step_the_next_one_ends_it_once",
    ),
    Mutant(
        guard="the first outcome that was kept stands",
        file="services/predictor/handlers/ledger.py",
        source="await self._book.tell(kept)",
        instead="await self._book.tell(ended)",
        test="tests/unit/predictor/test_ledger.py"
        "::test_an_outcome_that_is_kept_stands_whatever_candles_came_since",
    ),
    Mutant(
        guard="a signal that no candle will follow does not stand open for ever",
        file="services/predictor/handlers/ledger.py",
        source="if outcome is None and self._is_left_alone(signal):",
        instead="if False:",
        test="tests/unit/predictor/test_ledger.py"
        "::test_a_symbol_that_leaves_the_universe_takes_its_signal_with_it",
    ),
    Mutant(
        guard="a split of the share is no loss",
        file="services/predictor/domain/sequel.py",
        source="if split.at_ms > own_ms]",
        instead="if False]",
        test="tests/unit/predictor/test_ledger.py::test_a_split_of_the_share_ends_nothing",
    ),
    Mutant(
        guard="an ending that was told is not told again after the server forgot its id",
        file="services/predictor/adapters/ledger.py",
        source="codec.decode_event(last.data).id != fact.id",
        instead="True",
        test=f"{_BUS}::test_an_ending_is_told_once_however_long_ago",
    ),
    Mutant(
        guard="a late predictor lets go of the signal that it settled, and of no other",
        file="services/predictor/adapters/ledger.py",
        source="delete(key, opened.revision)",
        instead="delete(key)",
        test=f"{_BUS}::test_to_release_what_has_gone_does_nothing_to_what_came_since",
    ),
    Mutant(
        guard="a copy knows how far it goes in the same transaction",
        file="services/predictor/adapters/copies.py",
        source="        await database.rollback()\n",
        instead="        await database.commit()\n",
        test=f"{_COPIES}::test_what_was_not_taken_to_the_end_is_taken_again",
    ),
    Mutant(
        guard="a copy of a stream that was lost is begun anew",
        file="shared/bus/trail.py",
        source="after.epoch != epoch or ",
        instead="",
        test="tests/integration/test_trail.py"
        "::test_another_stream_in_its_place_is_read_from_its_beginning",
    ),
)

_SIGNALS: Final = (
    Mutant(
        guard="a signal is opened only on what is known of all open ones",
        file="services/predictor/adapters/openings.py",
        source="            openings.revision,\n",
        instead="            (await self._signals.state(subjects.OPEN_SIGNALS)).revision,\n",
        test=f"{_TRADER}::test_room_that_another_predictor_took_meanwhile_is_not_taken_twice",
    ),
    Mutant(
        guard="what a dead predictor opened is told",
        file="services/predictor/handlers/trader.py",
        source="            await self._tell_of(signal)\n",
        instead="            pass\n",
        test=f"{_TRADER}::test_a_predictor_that_died_between_opening_and_telling_is_made_up_for",
    ),
    Mutant(
        guard="an event that JetStream forgot the name of is not told again",
        file="services/predictor/adapters/announcements.py",
        source="if last is None or _id(last.data) != fact.id:",
        instead="if fact:",
        test="tests/integration/test_signal_bus.py"
        "::test_an_event_is_told_once_though_jetstream_has_forgotten_its_id",
    ),
    Mutant(
        guard="a time that ran out does not hide the last signal",
        file="services/predictor/adapters/openings.py",
        source="[newest] if isinstance(newest, Entry) else await self._signals.entries(pattern)",
        instead="[newest] if isinstance(newest, Entry) else []",
        test=f"{_TRADER}::test_a_removed_old_signal_does_not_hide_the_last_one",
    ),
    Mutant(
        guard="a tick lets others run",
        file="services/predictor/handlers/trader.py",
        source="await asyncio.sleep(0)  # where nothing was new, nothing has waited",
        instead="pass",
        test=f"{_TRADER}::test_a_tick_lets_others_run_between_symbols",
    ),
    Mutant(
        guard="leverage falls with the range, whatever costs take",
        file="shared/trading/leverage.py",
        source="- _taken_by_costs(parameters, rules)",
        instead="- 2.0 * one_way_pct(rules) / 100.0 / (win + loss)",
        test="tests/unit/trading/test_leverage.py::test_it_is_antitone_in_the_average_true_range",
    ),
    Mutant(
        guard="a position is never liquidated before it is stopped",
        file="shared/trading/leverage.py",
        source="min(rules.max_leverage, most_leverage(atr_pct, parameters, rules))",
        instead="rules.max_leverage",
        test="tests/unit/trading/test_leverage.py"
        "::test_room_is_left_for_costs_and_the_margin_that_the_exchange_wants",
    ),
)

_GATEWAY: Final = (
    Mutant(
        guard="numbers go on behind a mark only where no event is missing",
        file="services/gateway/domain/numbering.py",
        source=" and m.after >= held.first - 1]",
        instead="]",
        test=f"{_CLIENTS}_numbering.py::test_a_mark_whose_events_are_gone_is_not_taken",
    ),
    Mutant(
        guard="a stream that went back begins an epoch",
        file="services/gateway/domain/numbering.py",
        source=" or newest.after > held.last:",
        instead=":",
        test=f"{_CLIENTS}_numbering.py"
        "::test_a_stream_that_was_made_anew_or_went_back_begins_an_epoch",
    ),
    Mutant(
        guard="a hole in the stream is noticed",
        file="services/gateway/adapters/events.py",
        source="        if seq != self.seq + 1:\n",
        instead="        if seq <= self.seq:\n",
        test="tests/integration/test_gateway_resume.py::test_a_hole_in_the_stream_is_noticed",
    ),
    Mutant(
        guard="marks move on and never back",
        file="services/gateway/adapters/marks.py",
        source="kept.epoch != mark.epoch or kept.after >= mark.after",
        instead="kept.epoch != mark.epoch",
        test="tests/integration/test_gateway_resume.py"
        "::test_marks_move_on_and_never_back_and_only_in_their_epoch",
    ),
    Mutant(
        guard="a client that is behind is owed a range, not a queue",
        file="services/gateway/domain/outbox.py",
        source="            self._open[publication.channel] = stretch\n",
        instead="",
        test=f"{_CLIENTS}_outbox.py::test_events_that_are_owed_are_held_by_their_history_alone",
    ),
    Mutant(
        guard="what is published after an answer comes after it",
        file="services/gateway/domain/outbox.py",
        source="        self._open.clear()\n",
        instead="",
        test=f"{_CLIENTS}_outbox.py::test_what_is_published_after_an_answer_comes_after_it",
    ),
    Mutant(
        guard="a client whose next event is gone is not given the one behind it",
        file="services/gateway/domain/outbox.py",
        source="            stretch.next()  # ",
        instead="            # ",
        test=f"{_CLIENTS}_outbox.py::test_a_client_whose_next_event_is_gone_has_fallen_behind",
    ),
    Mutant(
        guard="a replay that is not complete is not called one",
        file="services/gateway/domain/history.py",
        source="found if len(found) == len(missed) else None",
        instead="found",
        test=f"{_CLIENTS}_domain.py"
        "::test_a_channel_that_lost_events_to_another_of_its_topic_is_not_complete",
    ),
    Mutant(
        guard="whoever begins a request finishes it in time",
        file="services/gateway/adapters/http.py",
        source="        self._begun += 1\n        self._expect_whole_request()\n",
        instead="        self._begun += 1\n",
        test=f"{_CLIENTS}_patience.py::test_whoever_does_not_finish_another_is_cut_off",
    ),
    Mutant(
        guard="a socket that was opened in time is left alone",
        file="services/gateway/adapters/http.py",
        source="        self._ended += 1\n        self._stop_waiting()\n",
        instead="        self._ended += 1\n",
        test=f"{_CLIENTS}_patience.py::test_whoever_finishes_one_stays",
    ),
    Mutant(
        guard="a key has so many sockets however it is shown",
        file="services/gateway/handlers/clients.py",
        source="                self._accounts.check_room(guest.account)\n",
        instead="                pass\n",
        test=f"{_CLIENTS}_clients.py"
        "::test_a_key_has_so_many_sockets_however_it_is_shown_and_another_key_has_its_own",
    ),
    Mutant(
        guard="a goodbye may come in the middle of a message",
        file="services/gateway/adapters/websocket.py",
        source="            self.current_size = None\n",
        instead="            pass\n",
        test=f"{_CLIENTS}_conformance.py"
        "::test_7_a_goodbye_inside_of_a_message_is_answered_and_the_message_dropped",
    ),
)

MUTANTS: Final = (
    *_FEATURES,
    *_SPLITS,
    *_VALIDATION,
    *_SERVING,
    *_ISOLATION,
    *_GATE,
    *_SEARCH,
    *_RETURN,
    *_LEDGER,
    *_SIGNALS,
    *_GATEWAY,
)
