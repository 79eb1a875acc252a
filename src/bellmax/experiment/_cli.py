"""The command line."""

import dataclasses
import difflib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from .. import __version__, envs
from .._core import RealScalarLike, Scheduled
from ._configuration import (
    ALGORITHMS,
    Configuration,
    UsageError,
    check_key,
    choose,
    describe,
    hyperparameters_of,
    preset_of,
)
from ._evaluation import evaluate_agent
from ._folder import finite, load_agent
from ._presets import PRESETS
from ._train import train_run

_HELP = """Bellmax {version}: reinforcement learning as pure functions on JAX.

usage: bellmax COMMAND ...

commands:
  train ALGORITHM ENVIRONMENT   train an agent, evaluate it and leave a run folder
  evaluate RUN                  report the return of a run's agent, with an interval
  list                          name the algorithms, the environments and the presets

`bellmax COMMAND --help` explains a command, `bellmax train ppo CartPole-v1 --help` lists every flag with its value.

examples:
  bellmax train ppo CartPole-v1
  bellmax train ppo CartPole-v1 --seeds 5 --learning-rate linear:1e-3:0 --out runs/fast
  bellmax evaluate runs/fast --sampled --json

exit codes: 0 done, 1 a run failed, 2 the command was wrong, 130 interrupted by Ctrl-C, 143 by SIGTERM.
"""

_TRAIN_HELP = """Trains an agent, evaluates it and leaves a run folder.

usage: bellmax train ALGORITHM ENVIRONMENT [flags]

algorithms: {algorithms}
environments: `bellmax list` names them; CartPole-v1, Pendulum-v1 and Breakout-MinAtar are among them

Flags and their values depend on the algorithm and on the preset of the environment:
`bellmax train {first} CartPole-v1 --help` lists them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The words after `bellmax`; None for those of this process.

    Returns:
        The exit code: 0, or 2 where the command was wrong, or 128 plus the number of the signal that interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except UsageError as error:
        print(f"bellmax: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"bellmax: {error.name} is not installed: pip install 'bellmax[envs,train]'", file=sys.stderr)
        return 2
    except SystemExit as error:  # tyro's, after it printed help or an error
        return int(error.code or 0)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_HELP.format(version=__version__), end="")
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    commands = {"train": _train, "evaluate": _evaluate, "list": _list}
    return commands[choose("command", words[0], commands)](words[1:])


def _train(words: list[str]) -> int:
    names, flags = _positional(words)
    if not names:
        if _asks_help(flags):
            lines = [f"\n  {name:6}{describe(kind)}" for name, kind in ALGORITHMS.items()]
            print(_TRAIN_HELP.format(algorithms="".join(lines), first="ppo"), end="")
            return 0
        raise UsageError(f"train needs an algorithm and an environment; the algorithms are {', '.join(ALGORITHMS)}")
    algorithm = choose("algorithm", names[0], ALGORITHMS)
    if len(names) == 1 and not _asks_help(flags):  # the environment may stand among the flags
        plain = _train_options(algorithm, preset_of(algorithm, "", "none"), Path())
        names += _parse(plain, flags, f"bellmax train {algorithm}")[1]
        flags = [word for word in flags if word not in names[1:]]
    if len(names) > 2:
        raise UsageError(f"train takes an algorithm and an environment; {names[2]!r} is one word too many")
    if len(names) == 1 and not _asks_help(flags):
        raise UsageError(f"train {algorithm} needs an environment; `bellmax list` names them")
    environment = choose("environment", names[1], envs.names()) if len(names) == 2 else ""
    preset = preset_of(algorithm, environment, _value_of("--preset", flags))
    out = Path("runs") / f"{algorithm}-{environment.replace('/', '-') or 'ENVIRONMENT'}"
    options, extra = _parse(_train_options(algorithm, preset, out), flags, " ".join(["bellmax train", *names]))
    if extra:
        raise UsageError(f"train takes an algorithm and an environment; {extra[0]!r} is one word too many")
    _check_episodes(options.episodes)
    configuration = Configuration(
        algorithm,
        environment,
        options.steps,
        options.num_envs,
        options.seeds,
        options.key,
        {name: getattr(options, name) for name in hyperparameters_of(algorithm)},
    )
    evaluation, interrupted_by = train_run(
        configuration, options.out, replace=options.replace, episodes=options.episodes
    )
    if interrupted_by is not None:
        print(f"interrupted; {options.out} holds the agent as it was", file=sys.stderr)
        return 128 + interrupted_by
    print(f"{evaluation}\n{options.out}")
    return 0


def _evaluate(words: list[str]) -> int:
    names, flags = _positional(words)
    options, more = _parse(_evaluate_options(), flags, "bellmax evaluate RUN")
    names += more
    if len(names) != 1:
        raise UsageError(f"evaluate needs one run folder; got {len(names)}")
    _check_episodes(options.episodes)
    check_key(options.key)
    agent = load_agent(names[0])
    evaluation = evaluate_agent(
        agent.trainer,
        agent.state,
        steps=agent.steps,
        key=options.key,
        episodes=options.episodes,
        sampled=options.sampled,
    )
    print(json.dumps(finite(dataclasses.asdict(evaluation))) if options.json else evaluation)
    return 0


def _list(words: list[str]) -> int:
    if _asks_help(words):
        print("Names the algorithms, the environments and the presets.\n\nusage: bellmax list")
        return 0
    if words:
        raise UsageError(f"list takes nothing; got {' '.join(words)}")
    print("algorithms")
    for name, kind in ALGORITHMS.items():
        print(f"  {name:6}{describe(kind)}")
        print(f"        presets: {', '.join(PRESETS[name])}")
    print("environments")
    for name in envs.names():
        print(f"  {name}")
    return 0


def _evaluate_options() -> type:
    """Makes the flags of `evaluate`."""
    flags = [
        _flag("episodes", int, 128, "Episodes of each seed, all played at once."),
        _flag("key", int, 0, "Number from which the randomness comes; the same key gives the same figures."),
        _switch("sampled", "Sample the policy as in training; without it, take its mode and explore nothing."),
        _switch("json", "Print one JSON object."),
    ]
    description = (
        "Reports the return of a run's agent: the mean over seeds of each seed's mean, with a 95 % bootstrap interval "
        "over seeds, or over episodes where there is one seed."
    )
    return dataclasses.make_dataclass("EvaluateOptions", flags, namespace={"__doc__": description})


def _train_options(algorithm: str, preset: dict[str, Any], out: Path) -> type:
    """Makes the flags of `train`: those of every run, and the algorithm's hyperparameters with the preset's values."""
    types = {RealScalarLike: float, Scheduled: str}
    run = [
        _flag("steps", int, preset["steps"], "Environment steps of each seed; whole updates within them."),
        _flag("num_envs", int, preset["num_envs"], "Environments that act at once."),
        _flag("seeds", int, 1, "Number of seeds, trained in one compiled program."),
        _flag("key", int, 0, "Number from which all randomness comes."),
        _flag("out", Path, out, "Run folder."),
        _switch("replace", "Delete the run folder first if it exists."),
        _flag("episodes", int, 128, "Episodes of each seed in the final evaluation."),
        _flag(
            "preset",
            str | None,
            None,
            "Environment whose tuned values to take, or `none`; without it the environment's own, shown here.",
        ),
    ]
    learning = []
    for name, each in hyperparameters_of(algorithm).items():
        kind = types.get(each.type, each.type)
        default = kind(preset[name]) if kind in (str, float) else preset[name]
        schedule = " A number, or linear:FROM:TO[:UNTIL]." if each.type == Scheduled else ""
        learning.append(_flag(name, kind, default, each.help + schedule))
    description = (
        f"Trains {algorithm} and leaves a run folder: config.json, metrics.jsonl, status.json, agent/, evaluation.json "
        "and curve.png. Ctrl-C saves the agent as it is."
    )
    return dataclasses.make_dataclass("TrainOptions", [*run, *learning], namespace={"__doc__": description})


def _flag(name: str, kind: Any, default: Any, help_text: str):
    import tyro

    return name, Annotated[kind, tyro.conf.arg(help=help_text)], dataclasses.field(default=default)


def _switch(name: str, help_text: str):
    import tyro

    return _flag(name, tyro.conf.FlagCreatePairsOff[bool], False, help_text)


def _parse(options: type, flags: list[str], program: str) -> tuple[Any, list[str]]:
    """Reads flags into a dataclass and returns the words left over; an unknown flag raises `UsageError`."""
    import tyro

    parsed, unknown = tyro.cli(options, args=flags, prog=program, return_unknown_args=True)
    strangers = [word for word in unknown if word.startswith("-")]
    if strangers:
        name = strangers[0].split("=")[0]
        known = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(options)]
        nearest = difflib.get_close_matches(name.replace("_", "-"), known, n=3, cutoff=0.4)
        hint = f"the nearest are {', '.join(nearest)}" if nearest else f"`{program} --help` lists them"
        raise UsageError(f"no flag is named {name!r}; {hint}")
    return parsed, unknown


def _check_episodes(episodes: int) -> None:
    if episodes < 1:
        raise UsageError(f"episodes must be at least 1; got {episodes}")


def _positional(words: list[str]) -> tuple[list[str], list[str]]:
    """Splits the words before the first flag from the rest."""
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return words[:first], words[first:]


def _asks_help(flags: list[str]) -> bool:
    return "-h" in flags or "--help" in flags


def _value_of(flag: str, flags: list[str]) -> str | None:
    """Returns a flag's value before the flags are parsed: the preset decides their defaults."""
    for place, word in enumerate(flags):
        if word == flag:
            return flags[place + 1] if place + 1 < len(flags) else None
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None
