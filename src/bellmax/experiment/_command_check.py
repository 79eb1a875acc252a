"""`bellmax check-env`."""

import dataclasses
import json
from typing import Any

import jax

from .. import envs
from ._configuration import UsageError, check_key
from ._flags import asks_help, flag, parse, positional, switch
from ._look_up import is_place, look_up

Environment = envs.AbstractEnvironment | envs.AbstractHostEnvironment


def check(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    names, flags = positional(words)
    options, more = parse(check_options(), flags, "bellmax check-env NAME")
    names += more
    if len(names) != 1 and not asks_help(flags):
        raise UsageError(f"check-env needs one environment, as a name or as module:Class; got {len(names)}")
    check_key(options.key)
    if options.steps < 1:
        raise UsageError(f"steps must be at least 1; got {options.steps}")
    environment = find_environment(names[0])
    report = envs.check_environment(environment, key=jax.random.key(options.key), steps=options.steps)
    report = dataclasses.replace(report, environment=names[0])
    print(json.dumps(dataclasses.asdict(report) | {"passed": report.passed}) if options.json else report)
    return 0 if report.passed else 1


def find_environment(name: str) -> Environment:
    """Finds an environment by what the user calls it.

    Args:
        name: As `envs.make` takes it; or `module:Class` or `path/to/file.py:factory`, which is called without arguments
            unless it is an environment already. A `gymnasium.Env` is wrapped.

    Raises:
        UsageError: If there is none, or what is there makes none.
    """
    if is_place(name):
        return _as_environment(name, look_up(name))
    try:
        return envs.make(name)
    except (ValueError, RuntimeError, TypeError) as error:
        hint = "" if ":" in name else "; an environment of your own is named module:Class or path.py:factory"
        raise UsageError(f"{error}{hint}") from error


def _as_environment(name: str, found: Any) -> Environment:
    """Makes an environment out of a class, a function, or an environment."""
    import gymnasium

    if isinstance(found, Environment):
        return found
    try:
        made = found()
    except Exception as error:
        raise UsageError(f"{name} cannot be called without arguments: {error!r}") from error
    if isinstance(made, gymnasium.Env):
        made.close()
        return envs.GymnasiumEnvironment.of(found)
    if not isinstance(made, Environment):
        raise UsageError(
            f"{name} makes a {type(made).__name__}; expected a bellmax.envs.AbstractEnvironment, an "
            "AbstractHostEnvironment or a gymnasium.Env"
        )
    return made


def check_options() -> type:
    """Makes the flags of `check-env`."""
    flags = [
        flag("steps", int, 1000, "Random steps of each lane; episodes should end within them."),
        flag("key", int, 0, "Number from which the randomness comes."),
        switch("json", "Print one JSON object."),
    ]
    description = (
        "Checks whether an environment keeps what training relies on: spaces, types, purity, determinism under a key, "
        "first states that differ, the true observation at the end of an episode, no recompilation. NAME is one that "
        "`bellmax list` shows, or module:Class or path.py:factory for one of your own. Exit code 1 where a check fails."
    )
    return dataclasses.make_dataclass("CheckOptions", flags, namespace={"__doc__": description})
