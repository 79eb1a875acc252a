"""Sweeps: which configurations, which programs, what is left in the folder, and how an interrupted one goes on."""

import csv
import dataclasses
import json
import os
import signal
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import experiment
from bellmax.experiment import UsageError, load_agent, main
from bellmax.experiment import _evaluation as evaluations
from bellmax.experiment import _placement as placements
from bellmax.experiment import _sweep as sweeping
from bellmax.experiment import _sweep_training as training_of_sweeps
from bellmax.experiment._command_sweep import split_lists
from bellmax.experiment._configuration import hyperparameters_of, preset_of
from bellmax.experiment._evaluation import Evaluation
from bellmax.experiment._sweep_grid import as_text, grid, value_of_knob
from bellmax.experiment._sweep_plan import Plan
from bellmax.experiment._sweep_plot import _draw_curve, plot_sweep
from bellmax.experiment._sweep_programs import passes_of, programs_of
from bellmax.experiment._sweep_table import SweepRow, ranked, table_text, write_tables
from bellmax.training import Parallel, train_chunk
from training import laws

SMALL = {"rollout_length": 8, "hidden_sizes": (4,), "epochs": 1, "minibatches": 2}
WORDS = ["--rollout-length", "8", "--hidden-sizes", "4", "--epochs", "1", "--minibatches", "2"]
RUN = ["sweep", "td", "toy/bandit", "--num-envs", "4", "--steps", "64", "--seeds", "2", "--episodes", "4"]
CALLS = 16
LISTS = ["--learning-rate", "0,3e-2,linear:3e-2:0,1e-2,linear:1e-2:0"]


def small(algorithm="ppo", environment="toy/bandit", **changes):
    preset = preset_of(algorithm, environment, None)
    hyperparameters = {name: preset[name] for name in hyperparameters_of(algorithm)}
    settings = {"steps": 256, "num_envs": 4, "seeds": 2, "key": 0}
    settings |= {name: changes.pop(name) for name in list(changes) if name in settings}
    sizes = SMALL if algorithm == "ppo" else {}
    return experiment.Configuration(
        algorithm, environment, **settings, hyperparameters=hyperparameters | sizes | changes
    )


@pytest.fixture(autouse=True, scope="module")
def compile_fast():
    with pytest.MonkeyPatch.context() as patch:
        for module in (placements, evaluations):
            patch.setattr(module, "compiled", laws.fast_jit)
        yield


def arrays(tree):
    return jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))


# ------------------------------------------------------------------------------------------- lists and grids


@pytest.mark.parametrize(
    ("typed", "plain", "lists"),
    [
        ("--discount 0.9,0.99 --seeds 3", "--seeds 3", ["--discount=0.9", "--discount=0.99"]),
        ("--discount=0.9,0.99", "", ["--discount=0.9", "--discount=0.99"]),
        ("--discount 0.9, 0.99", "", ["--discount=0.9", "--discount=0.99"]),
        ("--hidden-sizes 64 64,256 256", "", ["--hidden-sizes 64 64", "--hidden-sizes 256 256"]),
        ("--hidden_sizes 8,8 8", "", ["--hidden-sizes=8", "--hidden-sizes 8 8"]),
        ("--hidden-sizes 64 64", "--hidden-sizes 64 64", []),
        ("--value-clip true,false", "", ["--value-clip", "--no-value-clip"]),
        ("--value-clip --num-envs 4,8", "--value-clip", ["--num-envs=4", "--num-envs=8"]),
        ("--learning-rate 1e-3,linear:1:0", "", ["--learning-rate=1e-3", "--learning-rate=linear:1:0"]),
        ("--kl-target -1,-2e-3", "", ["--kl-target=-1", "--kl-target=-2e-3"]),
        ("--out a,b", "--out a,b", []),
    ],
)
def test_lists_are_taken_out_of_the_flags(typed, plain, lists):
    found_plain, found = split_lists("ppo", typed.split())
    assert " ".join(found_plain) == plain
    assert [" ".join(words) for each in found.values() for words in each] == lists


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sweep"], "sweep needs an algorithm and an environment; the algorithms are a2c"),
        (["sweep", "ppo", "--discount", "0.9,1"], "sweep ppo needs an environment"),
        (["sweep", "pop", "toy/bandit"], "no algorithm is named 'pop'; the nearest are ppo"),
        (["sweep", "ppo", "toy/bandit"], "a sweep needs two values or more of some hyperparameter"),
        (["sweep", "ppo", "toy/bandit", "--seeds", "1,2"], "--seeds takes one value, and hyperparameters take lists"),
        (["sweep", "ppo", "toy/bandit", "--discount", "0.9,,1"], "--discount has an empty value in '0.9,,1'"),
        (["sweep", "ppo", "toy/bandit", "--discount", "0.9,0.90"], "discount has the value 0.9 twice"),
        (["sweep", "ppo", "toy/bandit", "--learning-rate", "1e-3,0.001"], "learning_rate has the value 0.001 twice"),
        (["sweep", "ppo", "toy/bandit", "--discount", "0.9,0.99", "more"], "'more' is one word too many"),
        (["sweep", "ppo", "toy/bandit", "--value-clip", "yes,no"], "no value of --value-clip is named 'yes'"),
        (["sweep", "ppo", "toy/bandit", "--dicsount", "0.9,0.99"], "the nearest are --discount"),
        (["sweep", "ppo", "toy/bandit", "--discount", "0.9,7"], "discount must be in [0, 1]; got 7"),
        (["sweep", "ppo", "toy/bandit", *WORDS, "--clip-epsilon", "0.1,-1"], "epsilon must be positive; got -1"),
        (["sweep", "ppo", "toy/bandit", "--discount", "0.9,1", "--episodes", "0"], "episodes must be at least 1"),
        (["sweep", "ppo", "toy/bandit", "--discount", "0.9,1", "--devices", "9"], "devices must be from 1 to"),
        (["sweep", "ppo", "toy/bandit", *WORDS, "--seeds", "3", "--discount", "0.9,1", "--at-once", "2"],
         "at_once must be at least 3, which is one configuration with 3 seeds on 1 device; got 2"),
    ],
)  # fmt: skip
def test_wrong_sweeps_get_one_line_and_leave_nothing(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_wrong_value_in_a_list_names_the_flag(capsys):
    assert main(["sweep", "ppo", "toy/bandit", "--discount", "0.9,much"]) == 2
    captured = capsys.readouterr()
    assert "--discount" in captured.out + captured.err
    assert "much" in captured.out + captured.err


def test_help_says_how_lists_are_written(capsys):
    assert main(["sweep", "--help"]) == 0
    assert "--hidden-sizes 64 64,256 256" in capsys.readouterr().out
    assert main(["sweep", "ppo", "toy/bandit", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(each in text for each in ("--at-once", "--dry-run", "values with commas", "--learning-rate"))


def test_a_grid_is_the_product_and_its_last_list_changes_fastest():
    found = grid(small(), {"num_envs": [4, 8], "discount": [0.9, 0.99]})
    assert [(each.num_envs, each.hyperparameters["discount"]) for each in found] == [
        (4, 0.9), (4, 0.99), (8, 0.9), (8, 0.99),
    ]  # fmt: skip
    assert found[0].hyperparameters["gae_lambda"] == small().hyperparameters["gae_lambda"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs two values"),
        ({"discount": []}, "needs two values"),
        ({"discount": [0.9]}, "needs two values"),
        ({"dicsount": [0.9, 1.0]}, "the nearest are discount"),
        ({"discount": np.linspace(0, 1, 40).tolist(), "num_envs": list(range(40))}, "1,000.*got 1,600"),
    ],
)  # fmt: skip
def test_what_is_no_grid_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        grid(small(), values)


# ------------------------------------------------------------------------------------------------- programs


def test_numbers_share_a_program_and_sizes_switches_and_schedules_do_not():
    configurations = dict(
        enumerate(
            grid(small(), {"learning_rate": ["1e-3", "linear:1:0", "linear:1:0.5"], "hidden_sizes": [(4,), (6,)]})
        )
    )
    programs = programs_of(configurations)
    assert [program.places for program in programs] == [[0], [1], [2, 4], [3, 5]]
    assert programs[2].knobs.learning_rate.last.tolist() == [0.0, 0.5]
    assert jax.tree.leaves(programs[0].knobs) == []
    assert [program.trainer.algorithm.hidden_sizes for program in programs] == [(4,), (6,), (4,), (6,)]
    plan = str(Plan.of(configurations, ["learning_rate", "hidden_sizes"], workers=0, devices=1, at_once=None))
    assert plan.splitlines()[0] == "6 configurations x 2 seeds: 4 programs, 2 x 2 members, 2 x 4 members"
    assert plan.splitlines()[4] == "  program 4: learning-rate linear:1:0, linear:1:0.5; hidden-sizes 6"


def test_what_a_run_is_made_of_has_programs_of_its_own():
    programs = programs_of(dict(enumerate(grid(small(), {"num_envs": [2, 4], "steps": [128, 256]}))))
    made = [(each.trainer.num_envs, each.configurations[0].steps, each.places) for each in programs]
    assert made == [(2, 128, [0]), (2, 256, [1]), (4, 128, [2]), (4, 256, [3])]


def test_members_are_configurations_times_seeds_and_pad_with_themselves():
    configurations = dict(enumerate(grid(small(seeds=2), {"discount": [0.5, 0.6, 0.7], "gae_lambda": [0.8, 0.9]})))
    (program,) = programs_of(configurations)
    keys, knobs = program.members([1, 4], 6)
    np.testing.assert_allclose(knobs.discount, [0.5, 0.5, 0.7, 0.7, 0.5, 0.5])
    np.testing.assert_allclose(knobs.gae_lambda, [0.9, 0.9, 0.8, 0.8, 0.9, 0.9])
    words = jax.random.key_data(keys)
    for seed in range(2):
        wanted = jax.random.key_data(jax.random.fold_in(jax.random.key(0), seed))
        np.testing.assert_array_equal(words[seed::2], np.tile(wanted, (3, 1)))


def test_knobs_are_there_when_a_run_starts_and_the_state_carries_them():
    (program,) = programs_of(dict(enumerate(grid(small(objective="kl"), {"kl_coefficient": [0.5, 2.0]}))))
    shared = laws.fast_jit(jax.vmap(program.trainer.init))(*program.members([0, 1], 4)).shared
    np.testing.assert_array_equal(shared.algorithm.kl_coefficient, [0.5, 0.5, 2.0, 2.0])
    np.testing.assert_array_equal(shared.knobs.kl_coefficient, [0.5, 0.5, 2.0, 2.0])


def test_knobs_are_there_in_evaluation():
    (program,) = programs_of(dict(enumerate(grid(small("td", seeds=1), {"epsilon": [0.0, 1.0]}))))
    keys, knobs = program.members([0, 1], 2)
    state = laws.fast_jit(jax.vmap(program.trainer.init))(keys, knobs).shared.algorithm
    table = jax.tree.leaves(state)[0]
    assert table.shape == (2, 3, 1)
    best = eqx.tree_at(lambda each: jax.tree.leaves(each)[0], state, jnp.ones_like(table).at[:, 2].set(2.0))
    play = evaluations.player(program.trainer, best, episodes=32, explore=True)
    returns = np.asarray(play(best, keys, np.float32(0), knobs).episode_return)
    assert [set(each) for each in returns] == [{1.0}, {0.0, 0.5, 1.0}]  # what the arms pay


@pytest.mark.parametrize(
    ("count", "seeds", "devices", "at_once", "sizes", "members"),
    [
        (3, 10, 1, None, [3], 30),
        (7, 2, 1, 6, [3, 3, 1], 6),
        (7, 2, 1, 8, [4, 3], 8),  # not 4, 3 and a rest: as even as it goes
        (5, 1, 4, None, [5], 8),  # two members a device, three of them repeated
        (5, 3, 2, 3, [2, 2, 1], 6),
    ],
)
def test_passes_are_even_and_all_of_one_size(count, seeds, devices, at_once, sizes, members):
    passes = passes_of(count, seeds, devices, at_once)
    assert [len(places) for places in passes.places] == sizes
    assert [place for places in passes.places for place in places] == list(range(count))
    assert passes.members == members
    assert members % devices == 0
    assert at_once is None or members <= at_once * devices


# ------------------------------------------------------------------------------------------------- the folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two programs, one of them in two passes; and how often a program was compiled."""
    out, lowered = tmp_path_factory.mktemp("sweeps") / "bandit", []
    with pytest.MonkeyPatch.context() as patch:
        lower = Parallel.lower
        patch.setattr(Parallel, "lower", lambda self, *state: lowered.append(1) or lower(self, *state))
        assert main([*RUN, *LISTS, "--at-once", "4", "--out", str(out)]) == 0
    return out, len(lowered)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_folder_holds_a_run_for_each_configuration_and_the_tables(swept):
    out, lowered = swept
    assert {path.name for path in out.iterdir()} == {"config.json", "results.csv", "runs", "summary.csv", "sweep.png"}
    assert lowered == 2
    runs = sorted((out / "runs").iterdir())
    assert [run.name for run in runs] == [
        "000_learning-rate=0", "001_learning-rate=3e-2", "002_learning-rate=linear-3e-2-0", "003_learning-rate=1e-2",
        "004_learning-rate=linear-1e-2-0",
    ]  # fmt: skip
    for run, rate in zip(runs, LISTS[1].split(","), strict=True):
        assert {path.name for path in run.iterdir()} == {
            "agent", "config.json", "curve.png", "evaluation.json", "metrics.jsonl", "status.json",
        }  # fmt: skip
        assert json.loads((run / "status.json").read_text()) == {"state": "finished", "steps": 64, "of": 64}
        assert json.loads((run / "config.json").read_text())["hyperparameters"]["learning_rate"] == rate
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [row["seed"] for row in rows] == [0, 1] * CALLS
        assert {leaf.shape[0] for leaf in arrays(load_agent(run).state)} == {2}
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_tables_say_what_the_runs_say(swept):
    out, _ = swept
    results, summary = table(out / "results.csv"), table(out / "summary.csv")
    assert [row["learning_rate"] for row in summary] == LISTS[1].split(",")
    assert [(row["learning_rate"], row["seed"]) for row in results[:3]] == [("0", "0"), ("0", "1"), ("3e-2", "0")]
    for row in summary:
        evaluation = json.loads((out / "runs" / row["run"] / "evaluation.json").read_text())
        assert [float(row[name]) for name in ("mean", "low", "high")] == [
            evaluation[name] for name in ("mean", "low", "high")
        ]
        means = [float(each["return"]) for each in results if each["run"] == row["run"]]
        assert means == evaluation["seed_means"]
        assert float(row["iqm"]) == pytest.approx(np.mean(means))  # nothing is cut from two


def test_a_run_evaluates_to_what_the_sweep_wrote(swept, capsys):
    run = next((swept[0] / "runs").glob("001*"))
    capsys.readouterr()
    assert main(["evaluate", str(run), "--episodes", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((run / "evaluation.json").read_text())


def test_an_agent_of_many_is_the_agent_alone(swept):
    # The second configuration of its program, which has other numbers than the trainer that was compiled.
    first, agent = (load_agent(run) for run in sorted((swept[0] / "runs").iterdir())[:2])

    def alone(seed):
        state = agent.trainer.init(jax.random.fold_in(jax.random.key(0), seed))
        return train_chunk(agent.trainer, state, CALLS)[0].shared.algorithm

    wanted = laws.fast_jit(jax.vmap(alone))(np.arange(2))
    assert laws.largest_difference(agent.state, wanted) < 1e-6
    assert laws.largest_difference(agent.state, first.state) > 1e-2


def test_the_same_sweep_goes_on_with_what_is_not_finished(swept, capsys, monkeypatch):
    out, _ = swept
    before = {path.name: (path / "metrics.jsonl").read_text() for path in (out / "runs").iterdir()}
    summary = (out / "summary.csv").read_text()
    last = next((out / "runs").glob("003*"))
    (last / "evaluation.json").unlink()
    (last / ".status.json.tmp").write_text("{")  # as if killed in the middle of a write
    changed = next((out / "runs").glob("001*"))
    content = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(content | {"steps": 32}))
    assert main([*RUN, *LISTS, "--at-once", "4", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "3 of 5 configurations are finished already" in captured.err
    assert "2 configurations x 2 seeds: 1 program, 1 x 4 members" in captured.err
    assert "biased upwards" in captured.out
    assert (out / "summary.csv").read_text() == summary
    after = {path.name: (path / "metrics.jsonl").read_text() for path in (out / "runs").iterdir()}
    assert {name for name in before if before[name] != after[name]} <= {last.name, changed.name}
    monkeypatch.setattr(sweeping, "train_program", None)  # there is nothing to train any more
    assert main([*RUN, *LISTS, "--out", str(out)]) == 0
    assert "configurations x" not in capsys.readouterr().err


def test_another_sweep_is_refused_by_name(swept, capsys):
    out, _ = swept
    listing = sorted(out.rglob("*"))
    for words, expected in (
        ([*LISTS, "--key", "1"], "holds another sweep (key was 0, is 1); --out DIR takes another folder, --replace"),
        ([*LISTS, "--discount", "0.9"], "discount was 0.99, is 0.9"),
        (["--learning-rate", "0,1"], 'learning_rate was ["0", "3e-2"'),
        ([*LISTS, "--episodes", "5"], "episodes was 4, is 5"),
    ):
        assert main([*RUN, *words, "--out", str(out)]) == 2
        assert expected in capsys.readouterr().err
    assert sorted(out.rglob("*")) == listing


def test_what_is_no_sweep_is_never_deleted(swept, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("precious")
    assert main([*RUN, *LISTS, "--out", str(tmp_path), "--replace"]) == 2
    assert "is not the folder of a sweep" in capsys.readouterr().err
    (tmp_path / "config.json").write_text((swept[0] / "config.json").read_text())
    assert main([*RUN, *LISTS, "--key", "1", "--out", str(tmp_path), "--replace"]) == 2
    assert "also holds thesis.txt, so it is not replaced" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_dry_run_says_the_plan_and_makes_nothing(tmp_path, capsys):
    assert main([*RUN, "--discount", "0.9,0.99", "--dry-run", "--out", str(tmp_path / "out")]) == 0
    captured = capsys.readouterr()
    assert "2 configurations x 2 seeds: 1 program, 1 x 4 members" in captured.err
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


def test_a_signal_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    out, words = tmp_path / "out", [*RUN, "--learning-rate", "1e-2,2e-2", "--at-once", "2"]
    write = training_of_sweeps.write_status

    def interrupt_second_pass(folder, state, steps, total):
        write(folder, state, steps, total)
        if state == "running" and (out / "runs" / "001_learning-rate=2e-2").exists():
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(training_of_sweeps, "write_status", interrupt_second_pass)
    before = signal.getsignal(signal.SIGTERM)
    assert main([*words, "--out", str(out)]) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert "the same command goes on" in capsys.readouterr().err
    first, second = sorted((out / "runs").iterdir())
    assert json.loads((first / "status.json").read_text())["state"] == "finished"
    status = json.loads((second / "status.json").read_text())
    assert (status["state"], status["steps"]) == ("interrupted", 0)
    assert [row["learning_rate"] for row in table(out / "summary.csv")] == ["1e-2"]
    for more, said in (
        ([], "1 of 2 configurations are finished already"),
        (["--replace"], "2 configurations x 2 seed"),
    ):
        assert main([*words, *more, "--dry-run", "--out", str(out)]) == 0
        assert said in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ tables and pictures


def row(place, means, **knobs):
    means = [float(mean) for mean in means]
    low, high = min(means), max(means)
    evaluation = Evaluation(float(np.mean(means)), low, high, 4, len(means), 0, False, 0, means)
    return SweepRow(Path(f"{place:03d}"), knobs, evaluation)


def test_the_best_comes_first_and_what_is_no_number_last(tmp_path):
    rows = [row(0, [1, 2], rate="1e-3"), row(1, [np.nan, 9], rate="1e-2"), row(2, [5, 6], rate="1e-1")]
    assert [each.run.name for each in ranked(rows)] == ["002", "000", "001"]
    lines = table_text(rows).splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["rate", "1e-1", "1e-3", "1e-2"]
    assert "best of 3" in lines[-1]
    write_tables(rows, tmp_path)
    assert table(tmp_path / "summary.csv")[1]["iqm"] == "nan"  # a seed that failed is not cut away


def test_values_are_written_as_the_command_line_takes_them():
    values = [(64, 64), 3e-4, True, 1 / 3, "linear:1:0", 8]
    assert [as_text(value) for value in values] == ["64 64", "0.0003", "true", repr(1 / 3), "linear:1:0", "8"]
    assert value_of_knob(small(num_envs=4), "num_envs") == 4


@pytest.mark.parametrize(
    "rows",
    [
        [row(0, [1, 2], rate="1e-4"), row(1, [3, 4], rate="1e-3"), row(2, [np.nan, 4], rate="1e-2")],
        [row(i, [i, i + 1], rate=0.1 * (i // 3), kind="abc"[i % 3]) for i in range(6)],
        [row(i, [i, i + 1], rate=0.1 * (i % 3), kind="ab"[i // 3 % 2], size=(i // 6,)) for i in range(60)],
    ],
    ids=["number", "map", "ranking"],
)
def test_a_picture_is_drawn(rows, tmp_path):
    plot_sweep(rows, "ppo", tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("rates", "scale"), [(["1e-4", "1e-3"], "log"), ([0.9, 0.99], "linear"), ([0.0, 1.0], "linear")]
)
def test_decades_take_a_logarithmic_axis(rates, scale):
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    _draw_curve(axes, [row(place, [1, 2], rate=rate) for place, rate in enumerate(rates)], "rate")
    assert axes.get_xscale() == scale


# ------------------------------------------------------------------------------- the numbers are those of `train`

PPO = {"learning_rate": ["1e-2", "1e-3"], "gae_lambda": [0.8, 0.95], "hidden_sizes": [(4,), (6,)]}
DQN = {"learning_rate": ["linear:1e-2:0", "1e-3"], "discount": [0.9, 0.99], "epsilon": ["linear:1:0:0.5"]}
SMALL_DQN = {
    "rollout_length": 4, "updates": 2, "batch_size": 8, "capacity": 64, "warm_up": 32, "hidden_sizes": (8,),
    "target_period": 3,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "how"), [(1, "shard_map"), (4, "shard_map"), (4, "pmap"), (4, "jit")])
@pytest.mark.parametrize(
    ("base", "values"),
    [
        ({"environment": "toy/chain", "steps": 96}, PPO),
        ({"algorithm": "dqn", "environment": "toy/chain", "steps": 96} | SMALL_DQN, DQN),
    ],
    ids=["ppo", "dqn"],
)
def test_every_member_is_what_train_leaves(base, values, devices, how, tmp_path):
    base = small(**base)
    rows = experiment.sweep(base, values, tmp_path / "sweep", episodes=4, at_once=4, devices=devices, how=how)
    assert len(rows) == len(grid(base, values))
    for each in sorted(rows, key=lambda row: row.run)[1::2]:
        configuration = dataclasses.replace(base, hyperparameters=base.hyperparameters | each.knobs)
        alone = tmp_path / each.run.name
        evaluation = experiment.train_run(configuration, alone, episodes=4).evaluation
        found, wanted = load_agent(each.run), load_agent(alone)
        assert found.steps == wanted.steps
        assert laws.largest_difference(found.state, wanted.state) < 1e-6
        np.testing.assert_allclose(each.evaluation.seed_means, evaluation.seed_means, rtol=1e-6)


@pytest.mark.slow
def test_environments_outside_jax_are_taken_one_after_another(tmp_path):
    base = small(environment="gymnasium/CartPole-v1", steps=64)
    rows = experiment.sweep(base, {"learning_rate": ["1e-2", "1e-3"]}, tmp_path / "sweep", episodes=2)
    said = []
    again = experiment.sweep(base, {"learning_rate": ["1e-2", "1e-3"]}, tmp_path / "sweep", episodes=2, say=said.append)
    assert [each.evaluation for each in again] == [each.evaluation for each in rows]
    assert said == ["2 of 2 configurations are finished already"]
    assert all(load_agent(each.run).steps == 64 for each in rows)
