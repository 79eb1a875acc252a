"""`bellmax sweep`."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ._command_train import configuration_of, known_environment, learning_flags, run_flags, train_options
from ._config_file import ConfigFile
from ._configuration import ALGORITHMS, UsageError, choose, hyperparameters_of, preset_of
from ._flags import asks_help, flag, parse, positional, switch, value_of
from ._sweep import sweep as run_sweep
from ._sweep_grid import RUN_KNOBS
from ._sweep_table import table_text
from ._sweep_training import SweepInterrupted

_HELP = """Trains every combination of lists of hyperparameters, each with some seeds, and compares the returns.

usage: bellmax sweep ALGORITHM ENVIRONMENT --FLAG VALUE,VALUE[,...] [flags]

{lists}

`bellmax sweep ppo CartPole-v1 --help` lists every flag with its value.

examples:
  bellmax sweep ppo CartPole-v1 --learning-rate 1e-4,3e-4,1e-3 --seeds 10
  bellmax sweep ppo CartPole-v1 --hidden-sizes 64 64,256 256 --value-clip true,false
  bellmax sweep dqn CartPole-v1 --epsilon linear:1:0.05:0.1,linear:1:0.05:0.5 --num-envs 4,8 --dry-run
"""
_LISTS = (
    "Every hyperparameter, --num-envs and --steps take a list: values with commas between them. A value of several "
    "sizes has spaces inside: --hidden-sizes 64 64,256 256 is (64, 64), then (256, 256). A switch is swept as --FLAG "
    "true,false. The algorithm and the environment come first."
)
_OF_A_RUN = ("steps", "num_envs", "seeds", "key", "episodes", "workers", "devices", "how", "config", "preset")


def sweep(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    names, flags = positional(words)
    config = ConfigFile(value_of("--config", flags))
    names = config.names(names)
    if not names and asks_help(flags):
        print(_HELP.format(lists=_LISTS), end="")
        return 0
    if not names:
        raise UsageError(f"sweep needs an algorithm and an environment; the algorithms are {', '.join(ALGORITHMS)}")
    algorithm = choose("algorithm", names[0], ALGORITHMS)
    if len(names) != 2 and not (len(names) == 1 and asks_help(flags)):
        raise UsageError(f"sweep {algorithm} needs an environment, and the flags after it; got {' '.join(names[1:])!r}")
    environment = known_environment(names[1]) if len(names) == 2 else ""
    preset = preset_of(algorithm, environment, value_of("--preset", flags) or config.values.get("preset"))
    out = Path("sweeps") / f"{algorithm}-{environment.replace('/', '-') or 'ENVIRONMENT'}"
    kind, program = sweep_options(algorithm, preset, out), " ".join(["bellmax sweep", *names])
    # A run's own file may be swept: where it left the run, and what a sweep does not do, is not its matter.
    of_a_run = {field.name for field in dataclasses.fields(train_options(algorithm, preset, out))}
    ignored = (of_a_run - {field.name for field in dataclasses.fields(kind)}) | {"out"}
    plain, lists = split_lists(algorithm, [*config.words(kind, ignored), *flags])
    options, extra = parse(kind, plain, program)
    if extra:
        raise UsageError(f"{extra[0]!r} is one word too many; values of a list have commas between them")
    values = {name: [_value(name, parse(kind, words, program)) for words in each] for name, each in lists.items()}
    try:
        rows = run_sweep(
            configuration_of(algorithm, environment, options),
            values,
            options.out,
            replace=options.replace,
            at_once=options.at_once,
            dry_run=options.dry_run,
            say=lambda text: print(text, file=sys.stderr),
            **{name: getattr(options, name) for name in ("episodes", "workers", "devices", "how")},
        )
    except SweepInterrupted as interruption:
        print(f"interrupted; the same command goes on with what is not finished in {options.out}", file=sys.stderr)
        return 128 + interruption.signal
    if not options.dry_run:
        print(f"{table_text(rows)}\n{options.out}")
    return 0


def _value(name: str, parsed: tuple[Any, list[str]]) -> Any:
    """Returns one value of a list; refuses words that are left over."""
    options, extra = parsed
    if extra:
        raise UsageError(f"--{name.replace('_', '-')} takes one word a value; {extra[0]!r} is one too many")
    return getattr(options, name)


def split_lists(algorithm: str, flags: list[str]) -> tuple[list[str], dict[str, list[list[str]]]]:
    """Takes the lists out of the flags.

    Args:
        algorithm: Whose hyperparameters can be swept.
        flags: As they were typed.

    Returns:
        The other flags, and by name of what is swept the flag of each value, in the words that `train` takes.
    """
    types = {name: each.type for name, each in hyperparameters_of(algorithm).items()} | dict.fromkeys(RUN_KNOBS, int)
    plain, lists = [], {}
    for name, words in _by_flag(flags, types):
        text = " ".join(words[1:]) if "=" not in words[0] else " ".join([words[0].split("=", 1)[1], *words[1:]])
        if name not in types and name in _OF_A_RUN and name not in ("config", "preset") and "," in text:
            raise UsageError(f"--{name.replace('_', '-')} takes one value, and hyperparameters take lists; got {text}")
        if name not in types or "," not in text:
            lists.pop(name if name in types else name.removeprefix("no_"), None)  # the last one counts
            plain += words
            continue
        values = [value.split() for value in text.split(",")]
        if [] in values:
            raise UsageError(f"--{name.replace('_', '-')} has an empty value in {text!r}")
        lists[name] = [_words_of(name, types[name], value) for value in values]
    return plain, lists


def _by_flag(flags: list[str], types: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yields each flag's name and its words; behind a comma, and for sizes, another word may follow."""
    place = 0
    while place < len(flags):
        name = flags[place].lstrip("-").split("=")[0].replace("-", "_")
        end = place + 1
        while end < len(flags) and not flags[end].startswith("--"):
            first = end == place + 1 and "=" not in flags[place]
            if not (first or flags[end - 1].endswith(",") or types.get(name) == tuple[int, ...]):
                break
            end += 1
        yield name, flags[place:end]
        place = end


def _words_of(name: str, kind: Any, value: list[str]) -> list[str]:
    """Returns the words by which `train` is given one value."""
    flag_name = f"--{name.replace('_', '-')}"
    if kind is bool:
        choose(f"value of {flag_name}", value[0], ("true", "false"))
        return [flag_name if value[0] == "true" else f"--no-{flag_name[2:]}"]
    return [f"{flag_name}={value[0]}"] if len(value) == 1 else [flag_name, *value]


def sweep_options(algorithm: str, preset: dict[str, Any], out: Path) -> type:
    """Makes the flags of `sweep`: those of `train`, and what only a sweep has."""
    description = f"Trains {algorithm} with every combination of lists of hyperparameters. {_LISTS}"
    flags = [
        *[each for each in run_flags(preset, out) if each[0] in _OF_A_RUN],
        flag("out", Path, out, "Folder of the sweep; the same sweep goes on with what is not finished in it."),
        switch("replace", "Delete the folder first if it exists."),
        flag(
            "at_once",
            int | None,
            None,
            "Members, a configuration with one seed each, that a device trains at once; without it all of a program.",
        ),
        switch("dry_run", "Check every value, print what would be trained and stop."),
        *learning_flags(algorithm, preset),
    ]
    return dataclasses.make_dataclass("SweepOptions", flags, namespace={"__doc__": description})
