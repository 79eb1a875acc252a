"""Reinforcement learning as pure functions on JAX.

The folders load when they are first used, so that `import bellmax` costs nothing that the program does not need.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import algorithms as algorithms
    from . import distributional as distributional
    from . import envs as envs
    from . import experiment as experiment
    from . import exploration as exploration
    from . import losses as losses
    from . import networks as networks
    from . import policies as policies
    from . import replay as replay
    from . import returns as returns
    from . import training as training
    from . import transforms as transforms

__version__ = "0.1.0"

_FOLDERS = (
    "algorithms",
    "distributional",
    "envs",
    "experiment",
    "exploration",
    "losses",
    "networks",
    "policies",
    "replay",
    "returns",
    "training",
    "transforms",
)


def __getattr__(name: str):
    if name in _FOLDERS:
        return importlib.import_module(f"bellmax.{name}")
    raise AttributeError(f"module 'bellmax' has no attribute {name!r}; its folders are {', '.join(_FOLDERS)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_FOLDERS])
