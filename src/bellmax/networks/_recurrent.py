"""Networks with memory: they take one step at a time, and forget where an episode starts."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core import example
from ._encoder import _torso
from ._mlp import MLP

if TYPE_CHECKING:
    from gymnasium import Space

_CELLS = {"gru": eqx.nn.GRUCell, "lstm": eqx.nn.LSTMCell}


class Recurrent(eqx.Module):
    r"""A gated recurrent unit, or a long short-term memory.

    $$h_t, m_t = \text{cell}(x_t, m_{t-1})$$

    The memory $m$ of the unit is its output $h$; that of the long short-term memory is the pair of its output and its
    cell. At the start of an episode it is zero.

    Attributes:
        cell: What maps features and memory to the next memory.

    Example:
        >>> core = Recurrent(3, 8, "lstm", key=jax.random.key(0))
        >>> output, memory = core(jnp.ones(3), core.initial())
        >>> output.shape, len(memory)
        ((8,), 2)

    References:
        Hochreiter and Schmidhuber, *Long Short-Term Memory*, 1997. Cho et al., *Learning Phrase Representations using
        RNN Encoder-Decoder*, 2014, arXiv:1406.1078.
    """

    cell: eqx.nn.GRUCell | eqx.nn.LSTMCell

    def __init__(self, inputs: int, size: int, kind: str = "gru", *, key: Key[Array, ""]):
        """Draws the weights.

        Args:
            inputs: Number of features.
            size: Number of outputs.
            kind: `gru` or `lstm`.
            key: Randomness of the weights.
        """
        if kind not in _CELLS:
            raise ValueError(f"cell must be one of {', '.join(_CELLS)}; got {kind!r}")
        if min(inputs, size) < 1:
            raise ValueError(f"Recurrent: inputs and size must be at least 1; got {inputs} and {size}")
        self.cell = _CELLS[kind](inputs, size, key=key)

    def initial(self) -> PyTree[Array]:
        """Returns the memory at the start of an episode."""
        zeros = jnp.zeros(self.cell.hidden_size)
        return (zeros, zeros) if isinstance(self.cell, eqx.nn.LSTMCell) else zeros

    def __call__(self, features: Float[Array, " features"], memory: PyTree[Array]) -> tuple[Array, PyTree[Array]]:
        """Takes one step; returns the output and the memory."""
        memory = self.cell(features, memory)
        return (memory[0] if isinstance(memory, tuple) else memory), memory

    def unroll(
        self, features: Float[Array, "time features"], memory: PyTree[Array], starts: Bool[Array, " time"]
    ) -> tuple[Float[Array, "time size"], PyTree[Array]]:
        """Takes many steps, which may cross from episode to episode.

        Args:
            features: Of each step.
            memory: Before the first step.
            starts: Where an episode starts: there the memory is set back first.

        Returns:
            The outputs, and the memory after each step.
        """

        def step(memory, now):
            features, start = now
            memory = jax.tree.map(lambda fresh, old: jnp.where(start, fresh, old), self.initial(), memory)
            output, memory = self(features, memory)
            return memory, (output, memory)

        return jax.lax.scan(step, memory, (features, starts))[1]


class RecurrentNetwork(eqx.Module):
    """Perceptrons before and after a memory, for observations of any space.

    Attributes:
        torso: Maps an observation to a vector, as that of `Encoder` does.
        before: Layers before the memory; None for none.
        core: The memory.
        after: Layers from its output to those of the network.

    Example:
        >>> from gymnasium import spaces
        >>> network = RecurrentNetwork(spaces.Box(-1, 1, (4,)), 2, key=jax.random.key(0))
        >>> outputs, memory = network(jnp.ones(4), network.initial())
        >>> outputs.shape
        (2,)
    """

    torso: Callable[[PyTree[Array]], Float[Array, " features"]]
    before: MLP | None
    core: Recurrent
    after: MLP

    def __init__(
        self,
        space: "Space[Any]",
        size: int,
        *,
        input_sizes: Sequence[int] = (),
        memory_size: int = 64,
        hidden_sizes: Sequence[int] = (64,),
        cell: str = "gru",
        activation: Callable[[Array], Array] = jnp.tanh,
        last_scale: float = 1.0,
        key: Key[Array, ""],
    ):
        """Draws the weights; TypeError for a space without a fixed shape.

        Args:
            space: Of the observations, from `gymnasium.spaces`.
            size: Number of outputs.
            input_sizes: Widths of the layers before the memory.
            memory_size: Width of the memory.
            hidden_sizes: Widths of the hidden layers after it.
            cell: `gru` or `lstm`.
            activation: Nonlinearity of the layers before and after.
            last_scale: Gain of the last layer's orthogonal weights.
            key: Randomness of the weights.
        """
        torso_key, before_key, core_key, after_key = jax.random.split(key, 4)
        self.torso = _torso(space, orthogonal=True, convolution=True, key=torso_key)
        features = jnp.zeros(eqx.filter_eval_shape(self.torso, example(space)).shape)
        self.before = None
        if input_sizes:
            *hidden, last = input_sizes
            self.before = MLP(features, last, hidden, activation=activation, last_scale=2**0.5, key=before_key)
            features = jnp.zeros(last)
        self.core = Recurrent(features.size, memory_size, cell, key=core_key)
        output = jnp.zeros(memory_size)
        self.after = MLP(output, size, hidden_sizes, activation=activation, last_scale=last_scale, key=after_key)

    def initial(self) -> PyTree[Array]:
        """Returns the memory at the start of an episode."""
        return self.core.initial()

    def __call__(self, observation: PyTree[Array], memory: PyTree[Array]) -> tuple[Array, PyTree[Array]]:
        """Takes one step; returns the outputs and the memory."""
        output, memory = self.core(self._features(observation), memory)
        return self.after(output), memory

    def unroll(
        self, observations: PyTree[Array], memory: PyTree[Array], starts: Bool[Array, " time"]
    ) -> tuple[Float[Array, "time size"], PyTree[Array]]:
        """Takes many steps, which may cross from episode to episode; only the memory is a loop.

        Args:
            observations: With a leading axis of time.
            memory: Before the first step.
            starts: Where an episode starts: there the memory is set back first.

        Returns:
            The outputs, and the memory after each step.
        """
        outputs, memories = self.core.unroll(jax.vmap(self._features)(observations), memory, starts)
        return jax.vmap(self.after)(outputs), memories

    def _features(self, observation):
        features = self.torso(observation)
        return features if self.before is None else self.before.activation(self.before(features))
