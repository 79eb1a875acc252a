"""What the adapters of other packages share: types that stay."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree, UInt32

from .._core import Spaces, example, strong
from ._protocol import AbstractEnvironment, Step


@dataclasses.dataclass(frozen=True, eq=False)
class Fixed:
    """What never changes about an environment; hashed by identity, since gymnasium's spaces have no hash.

    Attributes:
        env: The package's own environment.
        spaces: Of one observation and of one action.
        name: What messages call it.
        state_types: Of every leaf of the state; None until they are settled.
    """

    env: Any
    spaces: Spaces
    name: str
    state_types: Any = None


class AbstractAdapter(AbstractEnvironment):
    """An environment of another package behind the library's protocol.

    Packages change types between `reset` and `step` (a Python number in the first state, an array in the next), which
    makes every loop compile twice; here both are brought to the same types once.
    """

    _fixed: eqx.AbstractVar[Fixed]

    @property
    def spaces(self) -> Spaces:
        """The spaces of one observation and of one action."""
        return self._fixed.spaces

    def reset(self, *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Starts an episode."""
        state, observation = self._begin(key)
        return strong(state, self._fixed.state_types), self._observation(observation)

    def step(self, state: Any, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Step]:
        """Takes one action."""
        state, step = self._advance(state, action, key)
        step = Step(
            observation=self._observation(step.observation),
            reward=jnp.asarray(step.reward, float).reshape(()),
            terminated=jnp.asarray(step.terminated, bool).reshape(()),
            truncated=jnp.asarray(step.truncated, bool).reshape(()),
            info=step.info,
        )
        return strong(state, self._fixed.state_types), step

    @abc.abstractmethod
    def _begin(self, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Starts an episode, in whatever types the package has."""

    @abc.abstractmethod
    def _advance(self, state: Any, action: PyTree[Array], key: Key[Array, ""]) -> tuple[Any, Step]:
        """Takes one action, in whatever types the package has."""

    def _observation(self, observation: PyTree[Array]) -> PyTree[Array]:
        return strong(observation, jax.eval_shape(lambda: example(self.spaces.observation)))


Adapter = TypeVar("Adapter", bound=AbstractAdapter)


def settled(adapter: Adapter) -> Adapter:
    """Gives an adapter the types of state that both `reset` and `step` can have.

    Raises:
        TypeError: If there are none, or if what the environment shows does not fit its observation space.
    """
    name, spaces = adapter._fixed.name, adapter.spaces
    key = jax.eval_shape(lambda: jax.random.key(0))
    first, shown = jax.eval_shape(adapter._begin, key)
    _check_observation(name, "reset", shown, spaces)
    action = jax.eval_shape(lambda: example(spaces.action))
    second, step = jax.eval_shape(adapter._advance, first, action, key)
    _check_observation(name, "step", step.observation, spaces)
    if step.reward.size != 1:
        raise TypeError(f"{name}: the reward of one step has shape {step.reward.shape}; it must be one number")
    if jax.tree.structure(first) != jax.tree.structure(second):
        raise TypeError(f"{name}: the state's structure differs between reset, {first}, and step, {second}")

    def settle(one, other):
        if one.shape != other.shape:
            raise TypeError(f"{name}: a part of the state has shape {one.shape} at reset and {other.shape} at step")
        is_key = jnp.issubdtype(one.dtype, jax.dtypes.prng_key)
        return one if is_key else jax.ShapeDtypeStruct(one.shape, jnp.promote_types(one.dtype, other.dtype))

    fixed = dataclasses.replace(adapter._fixed, state_types=jax.tree.map(settle, first, second))
    return dataclasses.replace(adapter, _fixed=fixed)


def spaces_of(name: str, convert: Callable[[], Spaces]) -> Spaces:
    """Reads an environment's spaces, under a trace too.

    Raises:
        TypeError: If they cannot be expressed.
    """
    with jax.ensure_compile_time_eval():
        try:
            return convert()
        except NotImplementedError as error:
            raise TypeError(f"{name}: its spaces have no counterpart in gymnasium.spaces: {error}") from error


def raw_key(key: Key[Array, ""]) -> UInt32[Array, " words"]:
    """Derives an untyped key, for packages that were written before typed ones."""
    shape = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
    return jax.random.bits(key, shape, jnp.uint32)


def _check_observation(name: str, when: str, observation: PyTree, spaces: Spaces) -> None:
    wanted = jax.eval_shape(lambda: example(spaces.observation))
    got, want = (jax.tree.map(lambda leaf: leaf.shape, tree) for tree in (observation, wanted))
    if got != want:
        raise TypeError(f"{name}: its observation space has the shapes {want}, but {when} shows {got}")
