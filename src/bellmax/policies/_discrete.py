"""What all distributions over a finite set of actions share."""

import abc

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._core import multiply_no_nan
from ._pytree import PytreeDistribution


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
        shape = (n, *self.batch_shape)
        return jax.random.categorical(key, self.logits, shape=shape).astype(jnp.int32)

    def log_prob(self, value):
        """Returns the log-probability of actions of shape `*sample *batch`; −∞ for an index outside."""
        chosen = self._one_hot(value)
        inside = jnp.any(chosen, axis=-1)
        return jnp.where(inside, jnp.sum(jnp.where(chosen, self._like(self.logits, chosen), 0), axis=-1), -jnp.inf)

    def prob(self, value):
        """Returns the probability of actions of shape `*sample *batch`; 0 for an index outside."""
        chosen = self._one_hot(value)
        return jnp.sum(jnp.where(chosen, self._like(self.probs, chosen), 0), axis=-1)

    def entropy(self):
        """Returns −Σ p log p in nats; an action of probability zero adds nothing."""
        return -jnp.sum(multiply_no_nan(self.logits, self.probs), axis=-1)

    def mode(self):
        """Returns the likeliest action, the first of equals."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def _one_hot(self, value):
        value = jnp.asarray(value)
        if not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(f"{self.name}: an action must be an integer; got {value.dtype}")
        batch = self.batch_shape
        if value.shape[value.ndim - len(batch) :] != batch or value.ndim < len(batch):
            raise TypeError(
                f"{self.name}: actions must have shape (*sample, *batch) with batch {batch}; got {value.shape}"
            )
        return jax.nn.one_hot(value, self.num_categories, dtype=bool)

    @staticmethod
    def _like(parameters, chosen):
        return jnp.broadcast_to(parameters, chosen.shape)
