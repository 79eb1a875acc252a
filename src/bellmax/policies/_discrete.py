"""What all distributions over a finite set of actions share."""

import abc

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core import multiply_no_nan
from ._pytree import PytreeDistribution

_UNROLLED = 32


class Discrete(PytreeDistribution, distrax.Categorical):
    """A distribution over actions 0 to n − 1, given by its log-probabilities.

    Log-probabilities, probabilities and entropies are float32 or wider; actions are int32. A parameter that is NaN
    gives log-probabilities that are NaN, and some action inside the range.
    """

    @property
    @abc.abstractmethod
    def logits(self) -> Array:
        """Normalised log-probabilities, `*batch actions`."""

    @property
    def probs(self) -> Array:
        """Probabilities, `*batch actions`."""
        return jnp.exp(self.logits)

    @property
    def num_categories(self) -> int:
        """Number of actions."""
        return getattr(self, self.leaves[0]).shape[-1]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        return getattr(self, self.leaves[0]).shape[:-1]

    @property
    def dtype(self):
        """Type of a sampled action."""
        return jnp.int32

    def _sample_n(self, key, n):
        probs = self.probs
        least = jnp.finfo(probs.dtype).eps / 2  # zero would be the first action's, however small its probability
        return _draw(probs, jax.random.uniform(key, (n, *self.batch_shape), probs.dtype, minval=least))

    def log_prob(self, value):
        """Returns the log-probability of actions of shape `*sample *batch`; −∞ for an index outside."""
        return self._of_action(self.logits, value, -jnp.inf)

    def prob(self, value):
        """Returns the probability of actions of shape `*sample *batch`; 0 for an index outside."""
        return self._of_action(self.probs, value, 0)

    def entropy(self):
        """Returns −Σ p log p in nats; an action of probability zero adds nothing."""
        return -jnp.sum(multiply_no_nan(self.logits, self.probs), axis=-1)

    def mode(self):
        """Returns the likeliest action, the first of equals."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def _of_action(self, parameters, value, outside):
        value = self._checked_actions(value)
        if not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(f"{self.name}: an action must be an integer; got {value.dtype}")
        if value.dtype.itemsize < 4:  # the number of actions may not fit
            value = value.astype(jnp.int32)
        inside = (value >= 0) & (value < self.num_categories)
        parameters = jnp.broadcast_to(parameters, (*value.shape, self.num_categories))
        place = jnp.where(inside, value, 0)[..., None]
        chosen = jnp.take_along_axis(parameters, place, axis=-1, mode="promise_in_bounds")[..., 0]
        return jnp.where(inside, chosen, outside)


def proportion(x: Array) -> Array:
    """Returns the nearest number in [0, 1], with the slope of the inside at both ends; NaN stays."""
    return jnp.where(x < 0, 0, jnp.where(x > 1, 1, x))


@jax.jit
def _draw(probs: Float[Array, "*batch actions"], uniform: Float[Array, "n *batch"]) -> Int[Array, "n *batch"]:
    """Maps one uniform number a sample through the cumulative probabilities.

    Summed from left to right, they do not rise at an action of probability zero, and the number is at most
    (1 − 2^-23) of their total: such an action is never the first above it.
    """
    each = jnp.moveaxis(probs, -1, 0)
    total, cumulative = jax.lax.scan(
        lambda before, p: (before + p, before + p), jnp.zeros_like(each[0]), each, unroll=min(len(each), _UNROLLED)
    )
    level = uniform * total[None]
    below = jnp.broadcast_to(cumulative[:, None], (len(each), *level.shape)) <= level[None]
    return jnp.sum(below, axis=0).astype(jnp.int32)
