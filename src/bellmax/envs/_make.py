"""Environments by name."""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from ._brax import BRAX_NAMES, BraxEnvironment
from ._frozen_lake import FrozenLake
from ._gymnasium import GymnasiumEnvironment, gymnasium_names
from ._host import AbstractHostEnvironment
from ._jumanji import JUMANJI_NAMES, JumanjiEnvironment
from ._no_velocity import gymnax_and_more, make_gymnax
from ._playground import PLAYGROUND_NAMES, PlaygroundEnvironment
from ._protocol import AbstractEnvironment
from ._registry import unknown
from ._toy import Bandit, Chain, Recall
from ._xminigrid import XMINIGRID_NAMES, XMiniGridEnvironment

_TOYS = {"bandit": Bandit, "chain": Chain, "frozen-lake": FrozenLake, "recall": Recall}


@dataclasses.dataclass(frozen=True)
class Package:
    """Where environments come from.

    Attributes:
        module: What must be importable.
        install: What pip is told where it is not.
        names: Lists the environments cheaply.
        make: Makes one of them; of names that it does not know it says so itself, unless `closed`.
        closed: Whether `names` lists all that can be made.
    """

    module: str
    install: str
    names: Callable[[], Sequence[str]]
    make: Callable[..., Any]
    closed: bool = False

    @property
    def installed(self) -> bool:
        """Whether the package is there, without importing it."""
        return importlib.util.find_spec(self.module) is not None


PACKAGES = {
    "": Package("gymnax", "bellmax[envs]", gymnax_and_more, make_gymnax, closed=True),
    "toy/": Package("bellmax", "bellmax", lambda: tuple(_TOYS), lambda name, **s: _TOYS[name](**s), closed=True),
    "gymnasium/": Package("gymnasium", "bellmax", gymnasium_names, GymnasiumEnvironment),
    "brax/": Package("brax", "bellmax[brax]", lambda: BRAX_NAMES, BraxEnvironment.named),
    "playground/": Package(
        "mujoco_playground", "bellmax[playground]", lambda: PLAYGROUND_NAMES, PlaygroundEnvironment.named
    ),
    "jumanji/": Package("jumanji", "bellmax[jumanji]", lambda: JUMANJI_NAMES, JumanjiEnvironment.named),
    "xminigrid/": Package("xminigrid", "bellmax[xminigrid]", lambda: XMINIGRID_NAMES, XMiniGridEnvironment.named),
}


def names() -> list[str]:
    """Lists the names that `make` knows: those of every package that is installed."""
    return [f"{prefix}{name}" for prefix, each in PACKAGES.items() if each.installed for name in each.names()]


def check_name(name: str) -> None:
    """Looks whether `make` would know a name, and touches no package but the one it belongs to.

    Args:
        name: As `make` takes it.

    Raises:
        ValueError: If there is no such environment; the message names the nearest.
        RuntimeError: If its package is not installed; the message says how to install it.
    """
    prefix, rest, package = _split(name)
    if not package.installed:
        if prefix:
            raise RuntimeError(f'{name} needs the package {package.module}: pip install "{package.install}"')
        raise unknown("", name, names(), f'; {package.module} is not installed: pip install "{package.install}"')
    if package.closed and rest not in package.names():
        raise unknown("", name, names())
    if prefix == "gymnasium/" and rest not in package.names() and not rest.startswith("ALE/") and ":" not in rest:
        raise unknown(prefix, rest, package.names())


def make(name: str, **settings) -> AbstractEnvironment | AbstractHostEnvironment:
    """Makes an environment by its name.

    | name | package |
    |---|---|
    | `CartPole-v1`; `CartPoleNoVel-v1`, without its velocities | gymnax |
    | `toy/bandit`, `toy/chain`, `toy/frozen-lake`, `toy/recall` | this library |
    | `gymnasium/CartPole-v1`, `gymnasium/ALE/Pong-v5` | gymnasium; not JAX, so it has the other protocol |
    | `brax/ant` | brax |
    | `playground/CartpoleBalance` | MuJoCo Playground |
    | `jumanji/Snake-v1` | jumanji |
    | `xminigrid/MiniGrid-Empty-8x8` | XLand-MiniGrid |

    Args:
        name: One of these.
        **settings: Passed to the environment.

    Returns:
        The environment.

    Raises:
        ValueError: If there is no such environment; the message names the nearest.
        RuntimeError: If its package is not installed, or if it needs data that cannot be loaded.

    Example:
        >>> make("toy/chain", length=3).spaces.action
        Discrete(2)
    """
    check_name(name)
    _, rest, package = _split(name)
    try:
        return package.make(rest, **settings)
    except OSError as error:  # urllib's and huggingface's errors are
        raise RuntimeError(
            f"{name} could not be made; if it downloads data, the download may have failed: {error}"
        ) from error


def _split(name: str) -> tuple[str, str, Package]:
    head, slash, rest = name.partition("/")
    prefix = head + slash
    return (prefix, rest, PACKAGES[prefix]) if slash and prefix in PACKAGES else ("", name, PACKAGES[""])
