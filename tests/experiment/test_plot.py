"""`bellmax plot`."""

import itertools
import json
import sys

import matplotlib
import numpy as np
import pytest

from bellmax.experiment import UsageError, main
from bellmax.experiment._command_plot import curve_of_run
from bellmax.experiment._drawing import MOST_LINES, look
from bellmax.experiment._named_runs import named_runs
from bellmax.experiment._plot import curves_figure, plot_curve
from bellmax.experiment._score_plots import comparisons_figure, profiles_figure
from bellmax.experiment._scores import Scores, comparisons
from experiment.run_folders import rows, write_run, write_sweep

MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def plotted(capsys, tmp_path, monkeypatch):
    """Runs the command in an empty folder; returns the exit code and what was said."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        code = main(["plot", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def folders(tmp_path):
    return [
        write_run(tmp_path / "one"),
        write_run(tmp_path / "two", ((0.0, 1.0, 1.0), (1.0, 1.0, 2.0)), (1.0, 5.0), algorithm="dqn"),
    ]


def texts_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def curves(folders, metric="episode_return"):
    return [curve_of_run(run, metric) for run in named_runs(folders)]


@pytest.mark.parametrize("suffix", MAGIC)
def test_format_is_that_of_the_suffix_and_the_file_repeats(plotted, folders, tmp_path, suffix):
    before = dict(matplotlib.rcParams)
    for name in ("a", "b"):
        out = f"new/{name}{suffix}"
        assert plotted(*folders, "--out", out) == (0, f"{out}\n", "")
    first, second = ((tmp_path / "new" / f"{name}{suffix}").read_bytes() for name in ("a", "b"))
    assert first.startswith(MAGIC[suffix])
    assert first == second
    assert dict(matplotlib.rcParams) == before
    assert {path.name for path in (tmp_path / "new").iterdir()} == {f"a{suffix}", f"b{suffix}"}


def test_picture_shows_the_iqm_of_each_run_and_its_band(folders):
    figure = curves_figure(curves(folders), "episode_return")
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.get_lines()] == [[2, 3, 5], [0.5, 1, 1.5]]
    assert len(axes.collections) == 2  # the bands
    assert texts_of(figure) == ["ppo (2 seeds)", "dqn (2 seeds)"]
    assert figure.legends[0].get_title().get_text() == "IQM over seeds; band: 95 % bootstrap interval"
    mean = curves_figure(curves(folders), "episode_return", np.mean)
    assert mean.legends[0].get_title().get_text().startswith("mean over seeds")


def test_run_alone_shows_its_seeds_and_one_seed_has_no_band(tmp_path):
    several, one = write_run(tmp_path / "several"), write_run(tmp_path / "one", ((1.0, 2.0, 3.0),), (3.0,))
    (axes,) = curves_figure(curves([several]), "episode_return").axes
    assert len(axes.get_lines()) == 3
    figure = curves_figure(curves([one]), "episode_return")
    assert (len(figure.axes[0].get_lines()), len(figure.axes[0].collections)) == (1, 0)
    assert texts_of(figure) == ["ppo (1 seed, no interval)"]
    assert figure.legends[0].get_title().get_text() == ""


def test_each_environment_has_a_panel_and_an_algorithm_one_look_in_all(folders, tmp_path):
    other = write_run(tmp_path / "three", ((1.0, 2.0),), (3.0,), environment="Acrobot-v1", algorithm="dqn")
    figure = curves_figure(curves([*folders, other]), "episode_return")
    assert [axes.get_title() for axes in figure.axes] == ["CartPole-v1", "Acrobot-v1"]
    dqn, there = figure.axes[0].get_lines()[1], figure.axes[1].get_lines()[0]
    assert (dqn.get_color(), dqn.get_linestyle()) == (there.get_color(), there.get_linestyle())
    assert texts_of(figure) == ["ppo (2 seeds)", "dqn (2 seeds / 1 seed, no interval)"]


def test_what_is_not_a_number_is_a_gap_and_a_cross(tmp_path):
    run = write_run(tmp_path / "run", ((1.0, 2.0, 4.0), (3.0, 4.0, 6.0)))
    made = rows([[1.0, 2.0, 4.0], [3.0, None, 6.0]])
    made[3]["episodes"] = 1
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    figure = curves_figure(curves([run, write_run(tmp_path / "other")]), "episode_return")
    line, crosses, _ = figure.axes[0].get_lines()
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False]
    assert (crosses.get_marker(), crosses.get_xdata().tolist()) == ("x", [200])
    assert texts_of(figure)[0] == "run (2 seeds; ✕ not a number)"


def test_names_are_drawn_as_they_are(tmp_path):
    names = ["_hidden", "$x$", "<b>"]
    figure = curves_figure(curves([write_run(tmp_path / name) for name in names]), "episode_return")
    assert texts_of(figure) == [f"{name} (2 seeds)" for name in names]
    assert not any(text.get_parse_math() for text in figure.legends[0].get_texts())


def test_labels_are_as_short_as_they_may_be(tmp_path):
    def labels(*paths):
        return [run.label for run in named_runs(paths)]

    one, two = write_run(tmp_path / "a" / "run"), write_run(tmp_path / "b" / "run")
    dqn, sweep = write_run(tmp_path / "dqn_run", algorithm="dqn"), write_sweep(tmp_path / "sweep")
    assert labels(one, dqn) == ["ppo", "dqn"]
    assert labels(one, one) == ["ppo"]
    assert labels(one, two) == ["a/run", "b/run"]
    assert labels(sweep) == ["learning-rate=1e-3", "learning-rate=1e-2", "learning-rate=1e-1"]
    assert len(set(labels(one, two, dqn, sweep))) == 6


def test_looks_differ_for_as_many_runs_as_are_allowed():
    looks = [tuple(look(place).values()) for place in range(MOST_LINES)]
    assert len(set(looks)) == MOST_LINES
    # Neighbours differ in print without colours too.
    assert all(one[1] != other[1] for one, other in itertools.pairwise(looks))


def test_sweep_stands_for_its_runs_and_says_what_they_lack(plotted, tmp_path):
    sweep = write_sweep(tmp_path / "sweep", unfinished=(1,))
    (sweep / "runs" / "000_learning-rate=1e-3" / "metrics.jsonl").unlink()
    code, out, err = plotted(sweep, "--out", "curves.svg")
    assert (code, out) == (0, "curves.svg\n")
    assert "left out: " in err
    assert "000_learning-rate=1e-3 has no row in metrics.jsonl" in err
    code, out, err = plotted(sweep, "--compare")
    assert "P(learning-rate=1e-3 > learning-rate=1e-1) = 0.12" in out  # of four pairs one is equal: half of a quarter
    assert "001_learning-rate=1e-2 has no evaluation.json" in err
    assert code == 0


def test_profile_is_exact_where_it_changes(folders):
    figure = profiles_figure([Scores.of(run) for run in named_runs(folders)])
    line = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), [0.75, 1, 4, 5, 6, 6.25])
    assert line.get_ydata().tolist() == [1, 1, 0.5, 0.5, 0, 0]
    assert line.get_drawstyle() == "steps-post"
    assert len(figure.axes[0].collections) == 2


def test_comparison_is_printed_and_drawn(plotted, folders, tmp_path):
    code, out, err = plotted(*folders, "--compare")
    said, file = out.splitlines()
    assert (code, err, file) == (0, "", "comparison.png")
    # 4 and 6 against 1 and 5: three of four.
    assert said.startswith("CartPole-v1: P(ppo > dqn) = 0.75, 95 % interval 0.")
    assert said.endswith("(2 and 2 seeds)")
    alone = write_run(tmp_path / "alone", ((1.0, 2.0),), (9.0,), algorithm="sac")
    scores = [Scores.of(run) for run in named_runs([*folders, alone])]
    found = comparisons(scores)
    assert [(each.x, each.y) for each in found] == [("ppo", "dqn"), ("ppo", "sac"), ("dqn", "sac")]
    assert str(found[1]) == "CartPole-v1: P(ppo > sac) = 0.00, no interval: one seed has no spread (2 and 1 seeds)"
    (axes,) = comparisons_figure(found).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ppo > dqn", "ppo > sac", "dqn > sac"]


def test_run_that_goes_on_is_drawn_up_to_the_torn_line(plotted, tmp_path):
    run = write_run(tmp_path / "run", final=None, state="running")
    whole = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(whole[:-30])
    assert plotted(run)[::2] == (0, "")
    (curve,) = curves([run])
    assert curve.steps.tolist() == [100, 200]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "plot needs a run folder, or several, or that of a sweep; got none"),
        (["run", "--out", "a.gif"], "--out must end in .png, .svg or .pdf; got a.gif"),
        (["run", "--smooth", "0"], "smooth must be at least 1, the point itself; got 0"),
        (["run", "--profile", "--compare"], "draw a picture each: give one of them at a time"),
        (["run", "--profile", "--metric", "loss"], "have no --metric and no --smooth"),
        (["run", "--metric", "entropie"], "run: no metric is named 'entropie'; the nearest are"),
        (["run", "--compare"], "--compare needs two runs or more on one environment"),
        (["nowhere"], "nowhere is not a run folder: it has no config.json"),
        (["."], "it holds run folders, broken, empty, nan: name those"),
        (["empty"], "empty has no row in metrics.jsonl: the run has not come to its first"),
        (["run", "empty", "--profile"], "empty has no evaluation.json that can be read"),
        (["nan", "--profile"], "the return of seed 1 of"),
        (["broken"], "metrics.jsonl is damaged: line 2 is 'what?'"),
        (["run", "--out", "run/config.json/a.png"], "a.png cannot be written: File exists"),
        (["run", "--colour", "red"], "no flag is named '--colour'"),
    ],
)
def test_wrong_commands_get_one_line_and_exit_code_2(words, expected, plotted, tmp_path):
    write_run(tmp_path / "run")
    write_run(tmp_path / "empty", final=None, state="running")
    (tmp_path / "empty" / "metrics.jsonl").unlink()
    write_run(tmp_path / "nan", final=(1.0, None))
    write_run(tmp_path / "broken")
    lines = (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "broken" / "metrics.jsonl").write_text("\n".join([lines[0], "what?", *lines[2:]]) + "\n")
    code, out, err = plotted(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert expected in err
    assert not list(tmp_path.glob("*.png"))


def test_more_lines_than_can_be_told_apart_are_refused(plotted, tmp_path):
    folders = [write_run(tmp_path / f"run{place}") for place in range(MOST_LINES + 1)]
    assert f"at most {MOST_LINES} lines can be told apart; got {MOST_LINES + 1}" in plotted(*folders)[2]
    with pytest.raises(UsageError, match="at most 8 runs of an environment; got 9 of CartPole-v1"):
        comparisons([Scores.of(run) for run in named_runs(folders[:9])])


def test_missing_matplotlib_names_the_extra(plotted, folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert plotted(*folders) == (2, "", 'bellmax: pictures need matplotlib: pip install "bellmax[viz]"\n')


def test_curve_of_a_run_without_an_episode_is_not_drawn_and_does_not_fail(tmp_path):
    plot_curve(rows([[None, None]]), "title", tmp_path / "curve.png")
    assert not (tmp_path / "curve.png").exists()
    plot_curve(rows([[None, 1.0]]), "title", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").exists()
