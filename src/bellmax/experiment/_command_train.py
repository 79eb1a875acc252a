"""`bellmax train`."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from .. import envs
from .._core import RealScalarLike, Scheduled
from ..training import How, Spread
from ._configuration import ALGORITHMS, Configuration, UsageError, choose, describe, hyperparameters_of, preset_of
from ._flags import asks_help, check_episodes, flag, parse, positional, switch, value_of
from ._placement import Placement
from ._train import train_run

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
    if not names:
        if asks_help(flags):
            lines = [f"\n  {name:14}{describe(kind)}" for name, kind in ALGORITHMS.items()]
            print(_TRAIN_HELP.format(algorithms="".join(lines), first="ppo"), end="")
            return 0
        raise UsageError(f"train needs an algorithm and an environment; the algorithms are {', '.join(ALGORITHMS)}")
    algorithm = choose("algorithm", names[0], ALGORITHMS)
    if len(names) == 1 and not asks_help(flags):  # the environment may stand among the flags
        plain = _options(algorithm, preset_of(algorithm, "", "none"), Path())
        names += parse(plain, flags, f"bellmax train {algorithm}")[1]
        flags = [word for word in flags if word not in names[1:]]
    if len(names) > 2:
        raise UsageError(f"train takes an algorithm and an environment; {names[2]!r} is one word too many")
    if len(names) == 1 and not asks_help(flags):
        raise UsageError(f"train {algorithm} needs an environment; `bellmax list` names them")
    environment = known_environment(names[1]) if len(names) == 2 else ""
    preset = preset_of(algorithm, environment, value_of("--preset", flags))
    out = Path("runs") / f"{algorithm}-{environment.replace('/', '-') or 'ENVIRONMENT'}"
    options, extra = parse(_options(algorithm, preset, out), flags, " ".join(["bellmax train", *names]))
    if extra:
        raise UsageError(f"train takes an algorithm and an environment; {extra[0]!r} is one word too many")
    check_episodes(options.episodes)
    configuration = configuration_of(algorithm, environment, options)
    evaluation, interrupted_by = train_run(
        configuration,
        options.out,
        replace=options.replace,
        episodes=options.episodes,
        workers=options.workers,
        placement=Placement(options.devices, options.how, options.spread, options.check_replicas),
    )
    if interrupted_by is not None:
        print(f"interrupted; {options.out} holds the agent as it was", file=sys.stderr)
        return 128 + interrupted_by
    print(f"{evaluation}\n{options.out}")
    return 0


def configuration_of(algorithm: str, environment: str, options: Any) -> Configuration:
    """Makes the configuration that some flags stand for."""
    hyperparameters = {name: getattr(options, name) for name in hyperparameters_of(algorithm)}
    return Configuration(
        algorithm, environment, options.steps, options.num_envs, options.seeds, options.key, hyperparameters
    )


def known_environment(environment: str) -> str:
    """Returns the name of an environment that there is; refuses others."""
    try:
        envs.check_name(environment)
    except (ValueError, RuntimeError) as error:
        raise UsageError(str(error)) from error
    return environment


def _options(algorithm: str, preset: dict[str, Any], out: Path) -> type:
    """Makes the flags of `train`: those of every run, and the algorithm's hyperparameters with the preset's values."""
    description = (
        f"Trains {algorithm} and leaves a run folder: config.json, metrics.jsonl, status.json, agent/, evaluation.json "
        "and curve.png. Ctrl-C saves the agent as it is."
    )
    flags = [*run_flags(preset, out), *learning_flags(algorithm, preset)]
    return dataclasses.make_dataclass("TrainOptions", flags, namespace={"__doc__": description})


def run_flags(preset: dict[str, Any], out: Path) -> list[Any]:
    """Describes the flags that every algorithm has."""
    return [
        flag("steps", int, preset["steps"], "Environment steps of each seed; whole updates within them."),
        flag("num_envs", int, preset["num_envs"], "Environments that act at once."),
        flag("seeds", int, 1, "Number of seeds, trained in one compiled program, or outside JAX one after another."),
        flag("key", int, 0, "Number from which all randomness comes."),
        flag("out", Path, out, "Run folder."),
        switch("replace", "Delete the run folder first if it exists."),
        flag("episodes", int, 128, "Episodes of each seed in the final evaluation."),
        flag("workers", int, 0, "Processes that step environments outside JAX (gymnasium/...); 0 for this process."),
        flag("devices", int | None, None, "Devices of all processes; without it all accelerators, or one CPU."),
        flag("how", How, "shard_map", "How devices are told what to do; the numbers do not depend on it."),
        flag(
            "spread",
            Spread | None,
            None,
            "What is spread over devices: lanes of each seed, or seeds; without it seeds if the devices divide them.",
        ),
        flag("check_replicas", int, 0, "Compare the devices' networks and statistics every so many updates; 0: never."),
        flag(
            "preset",
            str | None,
            None,
            "Environment whose tuned values to take, or `none`; without it the environment's own, shown here.",
        ),
    ]


def learning_flags(algorithm: str, preset: dict[str, Any]) -> list[Any]:
    """Describes the algorithm's hyperparameters, with the preset's values."""
    types, flags = {RealScalarLike: float, Scheduled: str}, []
    for name, each in hyperparameters_of(algorithm).items():
        kind = types.get(each.type, each.type)
        default = kind(preset[name]) if kind in (str, float) else preset[name]
        schedule = " A number, or linear:FROM:TO[:UNTIL]." if each.type == Scheduled else ""
        flags.append(flag(name, kind, default, each.help + schedule))
    return flags
