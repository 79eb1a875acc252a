"""What a trained agent does, as a pure function."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from ..algorithms import AbstractAlgorithm


class Policy(eqx.Module):
    """From an observation, and what is remembered of the episode, to an action.

    All that it needs is in it, as arrays: `jax.vmap` it over observations, `eqx.filter_jit` it, stack several with
    `jax.tree.map`. It is written for one observation of one environment.

    Attributes:
        algorithm: Whose policy.
        state: The algorithm's state, of one seed.
        initial_memory: What is remembered where an episode begins; None if nothing ever is.
        step: Count of environment steps, for schedules of exploration.
        inward: Takes an observation of the environment to what was seen in training.
        outward: Takes an action to the environment, inside the bounds of its space.
    """

    algorithm: AbstractAlgorithm
    state: Any
    initial_memory: PyTree[Array]
    step: Float[Array, ""]
    inward: Callable[[PyTree[Array]], PyTree[Array]] = eqx.field(static=True)
    outward: Callable[[PyTree[Array]], PyTree[Array]] = eqx.field(static=True)

    def __call__(
        self,
        observation: PyTree[Array],
        memory: PyTree[Array] = None,
        *,
        key: Key[Array, ""] | None = None,
        explore: bool = False,
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        """Chooses an action.

        Args:
            observation: One observation, as the environment gives it.
            memory: What the last call of this episode returned; None where an episode begins.
            key: Randomness of the choice; the mode needs none.
            explore: Whether to sample as in training; else the policy's mode.

        Returns:
            The action, inside its bounds, and the memory for the next call.

        Raises:
            ValueError: If it should explore without a key.
        """
        if key is None:
            if explore:
                raise ValueError("a policy that explores needs a key; got explore=True without one")
            key = jax.random.key(0)
        memory = self.initial_memory if memory is None else memory
        action, _, memory = self.algorithm.act(
            self.state, self.inward(observation), memory, step=self.step, key=key, explore=explore
        )
        return self.outward(action), memory


def moved(value: PyTree[Array], source: Any, target: Any) -> PyTree[Array]:
    """Takes an element of one space to another that differs only in where its whole numbers begin."""
    from gymnasium import spaces

    if isinstance(source, spaces.Dict):
        return {name: moved(value[name], part, target[name]) for name, part in source.items()}
    if isinstance(source, spaces.Tuple):
        return tuple(moved(*each) for each in zip(value, source, target, strict=True))
    if isinstance(source, spaces.Discrete | spaces.MultiDiscrete) and np.any(target.start != source.start):
        return value + jnp.asarray(target.start - source.start, jnp.asarray(value).dtype)
    return value
