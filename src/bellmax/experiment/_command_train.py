"""`bellmax train`."""

import dataclasses
import sys
from pathlib import Path
from typing import Any, get_args

from .. import envs
from .._core import RealScalarLike, Scheduled
from ._config_file import ConfigFile, as_toml
from ._configuration import ALGORITHMS, Configuration, UsageError, choose, describe, hyperparameters_of, preset_of
from ._flags import asks_help, device_flags, flag, join_hosts, parse, positional, switch, value_of
from ._hosts import is_first
from ._outcome import Outcome
from ._settings import Settings
from ._train import check_run, train_run

_TRAIN_HELP = """Trains an agent, evaluates it and leaves a run folder.

usage: bellmax train ALGORITHM ENVIRONMENT [flags]

algorithms: {algorithms}
environments: `bellmax list` names them; CartPole-v1, Pendulum-v1 and Breakout-MinAtar are among them

Flags and their values depend on the algorithm and on the preset of the environment:
`bellmax train {first} CartPole-v1 --help` lists them.
"""


def train(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    names, flags = positional(words)
    config = ConfigFile(value_of("--config", flags))
    join_hosts(flags, config)
    names = config.names(names)
    if not names:
        if asks_help(flags):
            lines = [f"\n  {name:14}{describe(kind)}" for name, kind in ALGORITHMS.items()]
            print(_TRAIN_HELP.format(algorithms="".join(lines), first="ppo"), end="")
            return 0
        raise UsageError(f"train needs an algorithm and an environment; the algorithms are {', '.join(ALGORITHMS)}")
    algorithm = choose("algorithm", names[0], ALGORITHMS)
    if len(names) == 1 and not asks_help(flags):  # the environment may stand among the flags
        plain = train_options(algorithm, preset_of(algorithm, "", "none"), Path())
        names += parse(plain, flags, f"bellmax train {algorithm}")[1]
        flags = _without(flags, names[1:], plain)
    if len(names) > 2:
        raise UsageError(f"train takes an algorithm and an environment; {names[2]!r} is one word too many")
    if len(names) == 1 and not asks_help(flags):
        raise UsageError(f"train {algorithm} needs an environment; `bellmax list` names them")
    environment = known_environment(names[1]) if len(names) == 2 else ""
    preset = preset_of(algorithm, environment, value_of("--preset", flags) or config.values.get("preset"))
    out = Path("runs") / f"{algorithm}-{environment.replace('/', '-') or 'ENVIRONMENT'}"
    kind = train_options(algorithm, preset, out)
    options, extra = parse(kind, [*config.words(kind), *flags], " ".join(["bellmax train", *names]))
    if extra:
        raise UsageError(f"train takes an algorithm and an environment; {extra[0]!r} is one word too many")
    configuration = configuration_of(algorithm, environment, options)
    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)}
    if options.dry_run:
        check_run(configuration, **settings)
        print(as_toml({"out": str(options.out)} | resolved(configuration, settings)), end="")
        return 0
    outcome = train_run(configuration, options.out, replace=options.replace, **settings)
    return report(outcome, options.out)


def _without(flags: list[str], words: list[str], options: type) -> list[str]:
    """Takes words that stand for themselves out of the flags; the same word may also be the value of one."""
    switches = {field.name for field in dataclasses.fields(options) if bool in get_args(field.type)}

    def is_value(place):
        before = flags[place - 1] if place else ""
        name = before[2:].replace("-", "_")
        return before.startswith("--") and "=" not in before and not {name, name.removeprefix("no_")} & switches

    return [word for place, word in enumerate(flags) if word not in words or is_value(place)]


def report(outcome: Outcome, run: Path) -> int:
    """Says how a run ended; returns the exit code."""
    if not is_first():
        return outcome.exit_code
    if outcome.interrupted_by is None:
        print(f"{'finished already: ' * outcome.already}{outcome.evaluation}\n{run}")
    else:
        then = f"; `bellmax resume {run}` goes on" if outcome.saved else ""
        print(f"interrupted; {run} holds the agent as it was{then}", file=sys.stderr)
    return outcome.exit_code


def configuration_of(algorithm: str, environment: str, options: Any) -> Configuration:
    """Makes the configuration that some flags stand for."""
    hyperparameters = {name: getattr(options, name) for name in hyperparameters_of(algorithm)}
    return Configuration(
        algorithm, environment, options.steps, options.num_envs, options.seeds, options.key, hyperparameters
    )


def resolved(configuration: Configuration, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns every value of a run by name, as a configuration file has them."""
    content = configuration.as_json()
    hyperparameters = content.pop("hyperparameters")
    return content | settings | hyperparameters


def known_environment(environment: str) -> str:
    """Returns the name of an environment that there is; refuses others."""
    try:
        envs.check_name(environment)
    except (ValueError, RuntimeError) as error:
        raise UsageError(str(error)) from error
    return environment


def train_options(algorithm: str, preset: dict[str, Any], out: Path) -> type:
    """Makes the flags of `train`: those of every run, and the algorithm's hyperparameters with the preset's values."""
    description = (
        f"Trains {algorithm} and leaves a run folder: config.json, metrics.jsonl, status.json, checkpoints/, agent/, "
        "evaluation.json and curve.png. Ctrl-C saves a checkpoint and the agent as it is; `bellmax resume` goes on."
    )
    flags = [*run_flags(preset, out), *learning_flags(algorithm, preset)]
    return dataclasses.make_dataclass("TrainOptions", flags, namespace={"__doc__": description})


def run_flags(preset: dict[str, Any], out: Path) -> list[Any]:
    """Describes the flags that every algorithm has."""
    now = Settings()
    return [
        flag("steps", int, preset["steps"], "Environment steps of each seed; whole updates within them."),
        flag("num_envs", int, preset["num_envs"], "Environments that act at once."),
        flag("seeds", int, 1, "Number of seeds, trained in one compiled program, or outside JAX one after another."),
        flag("key", int, 0, "Number from which all randomness comes."),
        flag("out", Path, out, "Run folder."),
        switch("replace", "Delete the run folder first if it exists."),
        flag("episodes", int, now.episodes, "Episodes of each seed in the final evaluation."),
        flag(
            "checkpoint_every",
            float,
            now.checkpoint_every,
            "Seconds between checkpoints, from which `bellmax resume` goes on; 0 for none.",
        ),
        flag("keep", int, now.keep, "Newest checkpoints to keep, beside the one with the best episode return."),
        log_flag(now.log),
        flag("workers", int, now.workers, "Processes that step environments outside JAX; 0 for this process."),
        *device_flags(now),
        flag("config", Path | None, None, "TOML, YAML or JSON file of flags, `seeds = 5`; flags go before it."),
        switch("dry_run", "Check every value, print the configuration as a file for --config holds it, and stop."),
        flag(
            "preset",
            str | None,
            None,
            "Environment whose tuned values to take, or `none`; without it the environment's own, shown here.",
        ),
    ]


def log_flag(now: str) -> Any:
    """Describes the flag that names log back ends."""
    return flag(
        "log",
        str,
        now,
        "Where rows of metrics go beside metrics.jsonl, with commas between: terminal, parquet, tensorboard, wandb, or "
        "module:function and path.py:function of your own.",
    )


def learning_flags(algorithm: str, preset: dict[str, Any]) -> list[Any]:
    """Describes the algorithm's hyperparameters, with the preset's values."""
    types, flags = {RealScalarLike: float, Scheduled: str}, []
    for name, each in hyperparameters_of(algorithm).items():
        kind = types.get(each.type, each.type)
        default = kind(preset[name]) if kind in (str, float) else preset[name]
        schedule = " A number, or linear:FROM:TO[:UNTIL]." if each.type == Scheduled else ""
        flags.append(flag(name, kind, default, each.help + schedule))
    return flags
