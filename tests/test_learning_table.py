"""The learning table: what counts as met, what is run again, and that the page says what was found."""

import dataclasses
import importlib.util
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bellmax import envs
from bellmax.experiment import bootstrap_interval, interquartile_mean
from bellmax.experiment._command_train import train_options
from bellmax.experiment._configuration import ALGORITHMS, preset_of
from bellmax.experiment._flags import parse, value_of

SPEC = importlib.util.spec_from_file_location(
    "learning_table", Path(__file__).parents[1] / "benchmarks" / "learning" / "__main__.py"
)
table = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(table)

ROWS = table.read_rows()
RESULTS = {row.name: result for row in ROWS if (result := table.read_result(row)) is not None}
ROW = table.Row("a-row", "ppo", "toy/bandit", 512, 2, "", 0.0, episodes=4, flags=("--rollout-length", "16"))


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Makes the table write elsewhere."""
    (tmp_path / "learning.md").write_text(f"Before.\n\n{table.BEGIN}\nOld.\n{table.END}\n\nAfter.\n")
    for name, path in (("RESULTS", "results"), ("CURVES", "curves"), ("PAGE", "learning.md")):
        monkeypatch.setattr(table, name, tmp_path / path)
    monkeypatch.setattr(table.read_result, "__defaults__", (tmp_path / "results",))
    monkeypatch.setattr(table.table, "__defaults__", (tmp_path / "results",))
    return tmp_path


@pytest.mark.parametrize(
    ("bar", "mean", "low", "high", "met"),
    [
        (490, 490, 480, 495, True),
        (490, 481, 470, 491, True),  # within 2 %, and the bar is inside
        (490, 481, 470, 489, False),  # the bar is above the interval
        (490, 480, 400, 500, False),  # beyond 2 %
        (-200, -203, -210, -199, True),
        (-200, -205, -230, -190, False),
        (-200, -203, -204, -202, False),
        (-200, -180, -185, -176, True),
    ],
)
def test_a_row_is_met_at_the_bar_or_within_two_percent_and_the_interval(bar, mean, low, high, met):
    assert table.is_met(bar, mean, low, high) == met


def test_rows_have_names_of_their_own_and_seeds_enough():
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        long = row.environment.endswith("-MinAtar")
        assert row.seeds >= (10 if row.algorithm in ("ppo", "dqn") and not long else 5), row.name


@pytest.mark.parametrize("row", [row for row in ROWS if row.algorithm in ALGORITHMS], ids=lambda row: row.name)
def test_command_of_a_row_can_be_read(row):
    envs.check_name(row.environment)
    preset = preset_of(row.algorithm, row.environment, value_of("--preset", row.words))
    _, extra = parse(train_options(row.algorithm, preset, Path()), row.words[3:], "")
    assert extra == []


def test_a_result_is_old_where_the_command_or_the_preset_changed():
    today = {"learning_rate": 0.1, "hidden_sizes": (64, 64), "value_clip": True, "num_envs": 4}
    found = {"command": ROW.words, "hyperparameters": {"learning_rate": "0.1", "hidden_sizes": [64, 64], "num_envs": 4}}
    changed = found["hyperparameters"] | {"learning_rate": "linear:0.1:0"}
    assert table.state_of(ROW, None, None) == "waiting"
    assert table.state_of(ROW, None, today) == "to run"
    assert table.state_of(dataclasses.replace(ROW, not_run="hours"), None, today) == "by name"
    assert table.state_of(ROW, found, today) == "done"  # a hyperparameter that came since does not count
    assert table.state_of(ROW, found | {"hyperparameters": changed}, today) == "old"
    assert table.state_of(ROW, found, today | {"hidden_sizes": (64,)}) == "old"
    assert table.state_of(ROW, found, today | {"num_envs": 8}) == "old"
    assert table.state_of(dataclasses.replace(ROW, steps=1024), found, today) == "old"


def test_flags_of_a_row_are_no_part_of_its_preset():
    assert "rollout_length" not in table.preset(ROW)
    assert table.preset(ROW)["epochs"] == 4
    assert table.preset(dataclasses.replace(ROW, algorithm="no-such")) is None


def found_by(row):
    """Returns a result as `run` would keep it."""
    hyperparameters = json.loads(json.dumps(table.preset(row)))
    spread = {"mean": 1.0, "interval": [0.5, 1.5], "iqm": 1.0, "iqm_interval": [0.5, 1.5]}
    return {"command": row.words, "hyperparameters": hyperparameters, **spread, "cpu_seconds": 60, "wall_seconds": 90}


def test_done_rows_are_skipped_unless_again_and_the_rest_goes_on_after_a_failure(folders, monkeypatch, capsys):
    rows = [
        ROW,
        dataclasses.replace(ROW, name="broken"),
        dataclasses.replace(ROW, name="last"),
        dataclasses.replace(ROW, name="long", not_run="hours"),
        dataclasses.replace(ROW, name="waits", algorithm="no-such"),
    ]
    ran = []

    def run(row):
        ran.append(row.name)
        if row.name == "broken":
            raise subprocess.CalledProcessError(2, "bellmax")
        table.RESULTS.mkdir(exist_ok=True)
        (table.RESULTS / f"{row.name}.json").write_text(json.dumps(found_by(row)))
        return found_by(row)

    monkeypatch.setattr(table, "read_rows", lambda: rows)
    monkeypatch.setattr(table, "run", run)
    assert table.main([]) == 1
    assert ran == ["a-row", "broken", "last"]
    assert table.main([]) == 1
    assert ran[3:] == ["broken"]
    assert table.main(["--again", "last"]) == 0
    assert table.main(["--only", "last", "long"]) == 0
    assert ran[4:] == ["last", "long"]
    assert table.main(["--list"]) == 0
    assert ran[6:] == []
    assert "broken: exit code 2" in capsys.readouterr().err
    page = table.PAGE.read_text()
    assert page.startswith("Before.")
    assert page.endswith("After.\n")
    assert "Old." not in page
    assert page.count("1.000, 0.500 to 1.500") == 6  # mean and IQM of three rows
    with pytest.raises(SystemExit):
        table.main(["--only", "no-such-row"])


def test_page_holds_what_was_found():
    assert table.between_marks(table.PAGE.read_text(), table.table(ROWS)) == table.PAGE.read_text()


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in RESULTS], ids=lambda row: row.name)
def test_figures_of_a_row_follow_from_its_seeds(row):
    result = RESULTS[row.name]
    means = np.array(result["seed_means"])
    assert len(means) == int(result["command"][result["command"].index("--seeds") + 1]) == row.seeds
    assert result["unfinished"] == 0
    np.testing.assert_allclose([result["mean"], *result["interval"]], [means.mean(), *bootstrap_interval(means)])
    np.testing.assert_allclose(
        [result["iqm"], *result["iqm_interval"]],
        [interquartile_mean(means), *bootstrap_interval(means, statistic=interquartile_mean)],
    )
    assert (table.CURVES / f"{row.name}.png").exists()


def test_no_result_is_without_a_row():
    assert {path.stem for path in table.RESULTS.glob("*.json")} <= {row.name for row in ROWS}


@pytest.mark.slow
def test_a_row_runs_and_keeps_its_figures_and_its_curve(folders, capfd):
    result = table.run(ROW)
    assert result == json.loads(json.dumps(result)) | {
        "interval": result["interval"], "iqm_interval": result["iqm_interval"]
    }  # fmt: skip
    assert len(result["seed_means"]) == 2
    assert result["steps"] == 512
    assert result["episodes"] == 4
    assert result["cpu_seconds"] > 0
    assert result["hyperparameters"]["rollout_length"] == 16
    assert (folders / "curves" / "a-row.png").exists()
    assert table.state_of(ROW, table.read_result(ROW), table.preset(ROW)) == "done"
    capfd.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row.name in RESULTS], ids=lambda row: row.name)
def test_no_result_is_older_than_its_preset(row):
    assert table.state_of(row, RESULTS[row.name], table.preset(row)) == "done"


def test_every_algorithm_has_a_page_and_stands_in_the_contents():
    contents = (table.DOCS / "README.md").read_text()
    linked = dict(re.findall(r"^\| \[`([\w-]+)`\]\(([\w-]+\.md)\)", contents, re.MULTILINE))
    assert sorted(linked) == sorted(ALGORITHMS)
    for name, kind in ALGORITHMS.items():
        page = (table.DOCS / linked[name]).read_text()
        assert f"| `{kind.__name__}` |" in contents, name
        assert f"bellmax train {name} " in page, name
        assert "](learning.md)" in page, name
