"""Flags out of dataclasses, and words that stand before them."""

import dataclasses
import difflib
from typing import Annotated, Any

from ..training import How, Spread
from ._config_file import ConfigFile
from ._configuration import UsageError
from ._hosts import Hosts


def flag(name: str, kind: Any, default: Any, help_text: str):
    """Describes one flag, for `dataclasses.make_dataclass`."""
    import tyro

    return name, Annotated[kind, tyro.conf.arg(help=help_text)], dataclasses.field(default=default)


def switch(name: str, help_text: str):
    """Describes a flag that is there or not."""
    import tyro

    return flag(name, tyro.conf.FlagCreatePairsOff[bool], False, help_text)


def device_flags(now: Any) -> list[Any]:
    """Describes the flags that say which devices a run takes; their defaults are those of some `Settings`."""
    return [
        flag("devices", int | None, now.devices, "Devices of all processes; without it all accelerators, or one CPU."),
        flag("how", How, now.how, "How devices are told what to do; the numbers do not depend on it."),
        flag(
            "spread",
            Spread | None,
            now.spread,
            "What is spread over devices: lanes of each seed, or seeds; without it seeds if the devices divide them.",
        ),
        flag(
            "check_replicas",
            int,
            now.check_replicas,
            "Compare the devices' networks and statistics every so many updates; 0: never.",
        ),
        flag(
            "step_timeout",
            float,
            now.step_timeout,
            "Seconds after which one of several processes ends if a piece of its work is not done; 0: never.",
        ),
        *_host_flags(),
    ]


def _host_flags() -> list[Any]:
    return [
        switch("distributed", "Find the other processes through SLURM, MPI, Kubernetes or the TPU pod."),
        flag("coordinator", str | None, None, "Otherwise, the address HOST:PORT of process 0."),
        flag("processes", int | None, None, "Otherwise, how many processes train together."),
        flag("process_id", int | None, None, "Otherwise, which of them this is, from 0."),
    ]


def join_hosts(flags: list[str], config: ConfigFile | None = None) -> None:
    """Waits for the other processes that flags or a file name.

    First of all, since environment packages start JAX on import.
    """
    import tyro

    options = dataclasses.make_dataclass("HostOptions", _host_flags())
    words = [word for word in flags if not asks_help([word])]
    if config is not None:
        words = config.words(options, ignored=set(config.values) - {name for name, *_ in _host_flags()}) + words
    found, _ = tyro.cli(options, args=words, return_unknown_args=True)
    Hosts(**vars(found)).join()


def parse(options: type, flags: list[str], program: str) -> tuple[Any, list[str]]:
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


def of_one_run(command: str, options: type, words: list[str]) -> tuple[str, Any]:
    """Reads the words of a command that takes one run folder; returns that, and the flags."""
    names, flags = positional(words)
    parsed, more = parse(options, flags, f"bellmax {command} RUN")
    names += more
    if len(names) != 1:
        raise UsageError(f"{command} needs one run folder; got {len(names)}")
    return names[0], parsed


def check_episodes(episodes: int) -> None:
    """Refuses to evaluate over nothing."""
    if episodes < 1:
        raise UsageError(f"episodes must be at least 1; got {episodes}")


def positional(words: list[str]) -> tuple[list[str], list[str]]:
    """Splits the words before the first flag from the rest."""
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return words[:first], words[first:]


def asks_help(flags: list[str]) -> bool:
    """Tells whether help is asked for."""
    return "-h" in flags or "--help" in flags


def value_of(flag: str, flags: list[str]) -> str | None:
    """Returns a flag's value before the flags are parsed: the preset decides their defaults."""
    for place, word in enumerate(flags):
        if word == flag:
            return flags[place + 1] if place + 1 < len(flags) else None
        if word.startswith(f"{flag}="):
            return word.removeprefix(f"{flag}=")
    return None
