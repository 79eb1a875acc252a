"""What defines a run, and how it becomes an algorithm, an environment and a trainer."""

import dataclasses
import difflib
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax

from .. import algorithms, envs
from .._core import RealScalarLike, Scheduled
from ..training import Trainer
from ._host_trainer import HostTrainer
from ._presets import DEFAULTS, PRESETS
from ._schedules import parse_schedule

ALGORITHMS: dict[str, type[algorithms.AbstractAlgorithm]] = {
    "a2c": algorithms.A2C,
    "c51": algorithms.C51,
    "ddpg": algorithms.DDPG,
    "discrete-sac": algorithms.DiscreteSAC,
    "dqn": algorithms.DQN,
    "gaussian-pg": algorithms.PolicyGradient,
    "impala": algorithms.IMPALA,
    "iqn": algorithms.IQN,
    "ppo": algorithms.PPO,
    "pqn": algorithms.PQN,
    "qr-dqn": algorithms.QRDQN,
    "rainbow": algorithms.Rainbow,
    "recurrent-ppo": algorithms.RecurrentPPO,
    "reinforce": algorithms.REINFORCE,
    "sac": algorithms.SAC,
    "td": algorithms.TD,
    "td3": algorithms.TD3,
    "tqc": algorithms.TQC,
}


class UsageError(ValueError):
    """The user asked for what does not exist or does not fit; the message says what would."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What defines a run: the same configuration gives the same agent, bit for bit on the same machine.

    Attributes:
        algorithm: Name of the algorithm.
        environment: Name of the environment.
        steps: Environment steps of each seed; a run stops at the last whole update within them.
        num_envs: Environments that act at once.
        seeds: Number of seeds, trained in one program.
        key: Number from which all randomness comes.
        hyperparameters: The algorithm's, by name; schedules as text, such as `linear:2.5e-4:0`.
    """

    algorithm: str
    environment: str
    steps: int
    num_envs: int
    seeds: int
    key: int
    hyperparameters: dict[str, Any]

    def __post_init__(self):
        if self.seeds < 1:
            raise UsageError(f"seeds must be at least 1; got {self.seeds}")
        check_key(self.key)

    def make_algorithm(self) -> algorithms.AbstractAlgorithm:
        """Makes the algorithm; a value that its constructor refuses raises `UsageError`."""
        kind = ALGORITHMS[choose("algorithm", self.algorithm, ALGORITHMS)]
        known = hyperparameters_of(self.algorithm)
        values = {}
        try:
            for name, value in self.hyperparameters.items():
                scheduled = known[choose("hyperparameter", name, known)].type is Scheduled
                values[name] = parse_schedule(str(value), self.steps) if scheduled else value
                values[name] = tuple(values[name]) if isinstance(values[name], list) else values[name]
            return kind(**values)
        except (ValueError, TypeError, RuntimeError) as error:
            raise UsageError(str(error)) from error

    def trainer(self, workers: int = 0) -> Trainer | HostTrainer:
        """Makes the trainer; a wrong value raises `UsageError`.

        Args:
            workers: Processes that step the environments, where those are not JAX.
        """
        algorithm = self.make_algorithm()
        try:
            environment = envs.make(self.environment)
            # Spaces, sizes and knobs that do not fit show here.
            if isinstance(environment, envs.AbstractHostEnvironment):
                trainer = HostTrainer(algorithm, environment, self.num_envs, workers)
                _ = trainer.programs
            else:
                trainer = Trainer(algorithm, environment, self.num_envs)
                eqx.filter_eval_shape(lambda key: trainer.step(trainer.init(key)), jax.random.key(0))
        except (ValueError, TypeError, RuntimeError) as error:
            raise UsageError(str(error)) from error
        if workers and isinstance(trainer, Trainer):
            raise UsageError(f"workers are for environments outside JAX; {self.environment} is compiled with the rest")
        if self.steps < trainer.steps_per_call:
            raise UsageError(
                f"steps must cover one update, {trainer.steps_per_call} environment steps; got {self.steps}"
            )
        return trainer

    @property
    def digest(self) -> str:
        """The SHA-256 of `as_json`: what was saved by a run of another configuration is told from it."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Returns what `from_json` reads; infinity, which JSON does not have, as text."""
        content = dataclasses.asdict(self)
        content["hyperparameters"] = {
            name: str(value) if isinstance(value, float) and math.isinf(value) else value
            for name, value in self.hyperparameters.items()
        }
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Configuration":
        """Reads what `as_json` wrote; other entries are left alone."""
        read = cls(**{field.name: content[field.name] for field in dataclasses.fields(cls)})
        values = {
            name: float(value) if value in ("inf", "-inf") else value for name, value in read.hyperparameters.items()
        }
        return dataclasses.replace(read, hyperparameters=values)


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter of an algorithm.

    Attributes:
        type: As annotated.
        default: Without a preset.
        help: From the docstring of the algorithm, or of what it inherits from.
    """

    type: Any
    default: Any
    help: str


def hyperparameters_of(algorithm: str) -> dict[str, Hyperparameter]:
    """Lists what the command line can set: every field of the algorithm that is a number, a text or a tuple."""
    import docstring_parser

    kind = ALGORITHMS[algorithm]
    # What a class inherits is documented where it is defined; the nearest class has the last word.
    pages = [docstring_parser.parse(inspect.cleandoc(each.__doc__ or "")) for each in reversed(kind.__mro__)]
    documented = {entry.arg_name: entry.description for page in pages for entry in page.params}
    plain = (int, bool, str, tuple[int, ...], RealScalarLike, Scheduled)
    return {
        field.name: Hyperparameter(field.type, field.default, " ".join((documented[field.name] or "").split()))
        for field in dataclasses.fields(kind)
        if field.type in plain
    }


def preset_of(algorithm: str, environment: str, name: str | None) -> dict[str, Any]:
    """Returns tuned values: those for the environment, for another one that is named, or the plain defaults.

    Args:
        algorithm: Name of the algorithm.
        environment: Name of the environment.
        name: Name of an environment that has a preset; `none` for the defaults; None for the environment's own, if any.

    Returns:
        `steps`, `num_envs` and hyperparameters.
    """
    plain = DEFAULTS[algorithm] | {name: each.default for name, each in hyperparameters_of(algorithm).items()}
    presets = PRESETS[algorithm]
    if name is None:
        return plain | presets.get(environment, presets.get(environment.removeprefix("gymnasium/"), {}))
    return plain | (presets | {"none": {}})[choose("preset", name, [*presets, "none"])]


def check_key(key: int) -> None:
    """Refuses a key that JAX would take for another."""
    if not 0 <= key < 2**32:
        raise UsageError(f"key must be in [0, 2^32); got {key}")


def choose(what: str, name: str, known: Iterable[str]) -> str:
    """Returns a name that is known; raises `UsageError` with the nearest that are."""
    known = list(known)
    if name in known:
        return name
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"the nearest are {', '.join(nearest)}" if nearest else f"there are {', '.join(known)}"
    raise UsageError(f"no {what} is named {name!r}; {hint}")


def describe(kind: Callable[..., Any]) -> str:
    """Returns the first line of a docstring."""
    return (inspect.getdoc(kind) or "").splitlines()[0]
