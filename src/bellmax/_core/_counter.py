"""A count of steps that does not overflow."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt32


class Counter(eqx.Module):
    """Counts to 2^64 in two 32-bit words, since JAX has no 64-bit integers by default.

    A float32 stops counting at 2^24, an int32 turns negative at 2^31: long runs reach both.

    Example:
        >>> counter = Counter.zero() + 3
        >>> int(counter)
        3
    """

    high: UInt32[Array, ""]
    low: UInt32[Array, ""]

    @staticmethod
    def zero() -> "Counter":
        """Starts at zero."""
        return Counter(jnp.zeros((), jnp.uint32), jnp.zeros((), jnp.uint32))

    def __add__(self, amount: int | Int[Array, ""]) -> "Counter":
        """Adds an amount in [0, 2^32)."""
        low = self.low + jnp.asarray(amount, jnp.uint32)
        return Counter(self.high + (low < self.low).astype(jnp.uint32), low)

    def fold_into(self, key: Key[Array, ""]) -> Key[Array, ""]:
        """Derives the key of this count: both words go in."""
        return jax.random.fold_in(jax.random.fold_in(key, self.high), self.low)

    def as_float(self) -> Float[Array, ""]:
        """Returns the count as a float, for schedules; exact to 2^24, to 6e-8 of its size beyond."""
        return self.high.astype(float) * 2.0**32 + self.low.astype(float)

    def __int__(self) -> int:
        return (int(self.high) << 32) + int(self.low)
