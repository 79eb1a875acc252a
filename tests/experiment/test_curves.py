"""Curves of rows of metrics: alignment, gaps, what is not a number, torn files."""

import json
from pathlib import Path

import numpy as np
import pytest

from bellmax.experiment import UsageError, bootstrap_interval, interquartile_mean
from bellmax.experiment._curves import curve_of, metrics_in
from bellmax.experiment._metrics_file import parse_rows
from experiment.run_folders import rows


def test_seeds_stand_beside_each_other_and_the_line_is_their_statistic():
    curve = curve_of(rows([[1.0, 2.0, 4.0], [3.0, 4.0, 6.0], [5.0, 0.0, 8.0], [9.0, 9.0, 90.0]]), "episode_return")
    assert curve.steps.tolist() == [100, 200, 300]
    np.testing.assert_array_equal(curve.values, [[1, 3, 5, 9], [2, 4, 0, 9], [4, 6, 8, 90]])
    assert (curve.seeds, curve.notes) == ([0, 1, 2, 3], [])
    np.testing.assert_array_equal(curve.line(interquartile_mean), [4, 3, 7])
    np.testing.assert_array_equal(curve.line(np.mean), [4.5, 3.75, 27])
    expected = [bootstrap_interval(each, resamples=2000, statistic=interquartile_mean) for each in curve.values]
    np.testing.assert_array_equal(curve.band(interquartile_mean), expected)


def test_one_seed_has_no_band():
    assert curve_of(rows([[1.0, 2.0]]), "episode_return").band(np.mean) is None


def test_gaps_without_episodes_are_bridged_and_ends_are_not_made_up():
    curve = curve_of(rows([[None, 2.0, None, 6.0, 8.0], [1.0, 1.0, 1.0, 1.0, None]]), "episode_return")
    assert curve.steps.tolist() == [200, 300, 400]
    np.testing.assert_array_equal(curve.values[:, 0], [2, 4, 6])


def test_return_that_is_no_number_stays_and_is_told_from_no_episode():
    made = rows([[1.0, 2.0, 3.0, 4.0], [1.0, None, 3.0, 4.0]])
    made[3]["episodes"] = 2  # some ended, and their mean was no number, which JSON cannot say
    curve = curve_of(made, "episode_return")
    np.testing.assert_array_equal(np.isnan(curve.values), [[0, 0], [0, 1], [0, 0], [0, 0]])
    assert curve.notes == ["seed 1 is not a number at 1 points, from step 200"]
    for statistic in (interquartile_mean, np.mean):
        np.testing.assert_array_equal(np.isnan(curve.line(statistic)), [0, 1, 0, 0])
        np.testing.assert_array_equal(np.isnan(curve.band(statistic)).any(axis=1), [0, 1, 0, 0])


def test_metric_begins_with_learning_and_is_a_number_from_then_on():
    made = rows([[1.0] * 4])
    assert curve_of(made, "loss").steps.tolist() == [200, 300, 400]
    made[2]["loss"] = None
    np.testing.assert_array_equal(np.isnan(curve_of(made, "loss").values[:, 0]), [0, 1, 0])


def test_smoothing_is_a_mean_of_the_past_of_each_seed():
    made = rows([[2.0, 4.0, 6.0, 10.0], [0.0, 0.0, 9.0, 0.0]])
    curve = curve_of(made, "episode_return", smooth=3)
    np.testing.assert_allclose(curve.values, [[2, 0], [3, 0], [4, 3], [20 / 3, 3]])
    made[2] |= {"episode_return": None}
    wrong = np.isnan(curve_of(made, "episode_return", smooth=2).values[:, 0])
    assert wrong.tolist() == [False, True, True, False]


def test_curve_ends_with_the_seed_that_came_least_far_and_says_so():
    made = [row for row in rows([[1.0] * 5, [2.0] * 5]) if row["seed"] == 0 or row["step"] <= 200]
    curve = curve_of(made, "episode_return")
    assert curve.steps.tolist() == [100, 200]
    assert curve.notes == ["ends at step 200: seed 1 came no further, others to 500"]
    # A row that only some seeds have written yet is nothing to speak of.
    assert curve_of(rows([[1.0] * 3, [2.0] * 3])[:-1], "episode_return").notes == []


def test_seed_without_any_value_is_left_out_and_named():
    curve = curve_of(rows([[1.0, 2.0], [None, None]]), "episode_return")
    assert (curve.seeds, curve.values.tolist()) == ([0], [[1.0], [2.0]])
    assert curve.notes == ["seed 1 left out: no value yet"]


def test_seeds_on_other_steps_are_brought_to_common_ones():
    made = [{"step": step, "seed": 0, "loss": step / 100} for step in (0, 100, 200)]
    made += [{"step": step, "seed": 1, "loss": 5.0} for step in (50, 150, 250)]
    curve = curve_of(made, "loss")
    assert curve.steps.tolist() == [50, 100, 150, 200]
    np.testing.assert_allclose(curve.values, [[0.5, 5], [1, 5], [1.5, 5], [2, 5]])


def test_unknown_metrics_and_seeds_that_never_meet_are_named():
    with pytest.raises(UsageError, match="no metric is named 'los'; the nearest are loss"):
        curve_of(rows([[1.0, 2.0]]), "los")
    apart = [{"step": step, "seed": seed, "loss": 1.0} for seed, step in ((0, 1), (1, 2))]
    with pytest.raises(UsageError, match="no value at a step that all of the 2 seeds have come to"):
        curve_of(apart, "loss")


def test_columns_that_never_had_a_number_are_no_metrics():
    assert metrics_in([{"step": 1, "seed": 0, "a": None, "b": 1, "c": "text"}, {"step": 2, "seed": 0, "d": 0.0}]) == [
        "b",
        "d",
    ]


def test_torn_last_line_is_left_out_wherever_it_was_torn():
    whole = rows([[1.0, 2.0]])
    text = "".join(json.dumps(row) + "\n" for row in whole)
    last = text.splitlines()[-1]
    for kept in range(len(last)):
        assert parse_rows(text[: -len(last) - 1] + last[:kept], Path("m")) == whole[:-1]
    assert parse_rows(text, Path("m")) == parse_rows(text[:-1], Path("m")) == whole
    assert parse_rows("", Path("m")) == []


@pytest.mark.parametrize("line", ["{", "7", "{}", '{"step": 1}', "\x00"])
def test_damaged_lines_are_named(line):
    with pytest.raises(UsageError, match=r"run/metrics.jsonl is damaged: line 2 .* not a row of metrics"):
        parse_rows('{"step": 1, "seed": 0}\n' + line + '\n{"step": 2, "seed": 0}\n', Path("run/metrics.jsonl"))
