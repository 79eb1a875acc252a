"""Environments by name."""

import difflib
import importlib.util

from ._gymnax import GymnaxEnvironment
from ._protocol import AbstractEnvironment
from ._toy import Bandit, Chain, Recall

_TOYS = {"toy/bandit": Bandit, "toy/chain": Chain, "toy/recall": Recall}


def names() -> list[str]:
    """Lists the names that `make` knows: the toys, and gymnax's where gymnax is installed."""
    return [*_gymnax_names(), *_TOYS]


def make(name: str, **settings) -> AbstractEnvironment:
    """Makes an environment by its name.

    Args:
        name: A gymnax name such as `CartPole-v1`, or `toy/bandit`, `toy/chain`, `toy/recall`.
        **settings: Passed to the environment.

    Returns:
        The environment.

    Raises:
        ValueError: If there is no such environment; the message names the nearest.
        RuntimeError: If the environment needs data that cannot be loaded.

    Example:
        >>> make("toy/chain", length=3).spaces.action
        Discrete(2)
    """
    if name in _TOYS:
        return _TOYS[name](**settings)
    if name in _gymnax_names():
        try:
            return GymnaxEnvironment(name, **settings)
        except OSError as error:  # urllib's errors are
            raise RuntimeError(f"{name} downloads data when it is made, and the download failed: {error}") from error
    nearest = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
    known = f"the nearest are {', '.join(nearest)}" if nearest else f"there are {', '.join(names())}"
    hint = "" if _gymnax_names() else '; gymnax is not installed: pip install "bellmax[envs]"'
    raise ValueError(f"no environment is named {name!r}; {known}{hint}")


def _gymnax_names() -> list[str]:
    if importlib.util.find_spec("gymnax") is None:
        return []
    import gymnax

    return list(gymnax.registered_envs)
