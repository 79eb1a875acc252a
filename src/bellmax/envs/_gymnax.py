"""Adapter for gymnax 1.x."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from .._core import Spaces, example
from ._protocol import AbstractEnvironment, Step


@dataclasses.dataclass(frozen=True, eq=False)
class _Fixed:
    """What never changes about an environment; hashed by identity, since gymnasium's spaces have no hash."""

    env: Any
    spaces: Spaces
    state_types: Any


class GymnaxEnvironment(AbstractEnvironment):
    """A gymnax environment without its automatic reset.

    gymnax changes types between `reset` and `step` in half of its environments (a Python number in the first state, an
    array in the next), which makes every loop compile twice; here both are brought to the same types once.

    Attributes:
        parameters: The environment's `EnvParams`.
    """

    parameters: Any
    _fixed: _Fixed = eqx.field(static=True)

    def __init__(self, name: str, **settings):
        """Makes a registered environment.

        Args:
            name: Such as `CartPole-v1`.
            **settings: Passed to `gymnax.make`.
        """
        import gymnax
        from gymnax.environments.spaces import gymnax_space_to_gym_space as convert

        env, self.parameters = gymnax.make(name, **settings)
        with jax.ensure_compile_time_eval():
            spaces = Spaces(convert(env.observation_space(self.parameters)), convert(env.action_space(self.parameters)))
        self._fixed = _Fixed(env, spaces, _settle_types(name, env, self.parameters, spaces))

    @property
    def spaces(self) -> Spaces:
        """The spaces of one observation and of one action."""
        return self._fixed.spaces

    def reset(self, *, key: Key[Array, ""]) -> tuple[Any, PyTree[Array]]:
        """Starts an episode."""
        observation, state = self._fixed.env.reset_env(key, self.parameters)
        return _cast(state, self._fixed.state_types), self._observation(observation)

    def step(self, state: Any, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[Any, Step]:
        """Takes one action; a time limit of gymnax is a truncation."""
        env = self._fixed.env
        observation, state, reward, terminated, info = env.step_env(key, state, action, self.parameters)
        step = Step(
            observation=self._observation(observation),
            reward=jnp.asarray(reward, float).reshape(()),
            terminated=jnp.asarray(terminated, bool),
            truncated=jnp.asarray(env.is_truncated(state, self.parameters), bool),
            info=info,
        )
        return _cast(state, self._fixed.state_types), step

    def _observation(self, observation: PyTree[Array]) -> PyTree[Array]:
        return _cast(observation, jax.eval_shape(lambda: example(self.spaces.observation)))


def _settle_types(name: str, env: Any, parameters: Any, spaces: Spaces) -> Any:
    """Finds types of the state that both `reset` and `step` can have."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    _, first = jax.eval_shape(env.reset_env, key, parameters)
    action = jax.eval_shape(lambda: example(spaces.action))
    _, second, *_ = jax.eval_shape(env.step_env, key, first, action, parameters)
    if jax.tree.structure(first) != jax.tree.structure(second):
        raise TypeError(f"{name}: the state's structure differs between reset, {first}, and step, {second}")

    def settle(one, other):
        if one.shape != other.shape:
            raise TypeError(f"{name}: a part of the state has shape {one.shape} at reset and {other.shape} at step")
        is_key = jnp.issubdtype(one.dtype, jax.dtypes.prng_key)
        return one if is_key else jax.ShapeDtypeStruct(one.shape, jnp.promote_types(one.dtype, other.dtype))

    return jax.tree.map(settle, first, second)


def _cast(tree: PyTree[Array], types: PyTree[jax.ShapeDtypeStruct]) -> PyTree[Array]:
    """Gives every leaf its type, and strips JAX's weak types on the way."""

    def cast(leaf, like):
        return leaf if jnp.issubdtype(like.dtype, jax.dtypes.prng_key) else jnp.asarray(leaf, like.dtype)

    return jax.tree.map(cast, tree, types)
