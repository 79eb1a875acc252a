"""Keys of lanes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key


def lane_keys(key: Key[Array, ""], lanes: int, axis_name: str | None = None) -> Key[Array, " lanes"]:
    """Derives one key a lane from the lane's index among the lanes of all devices.

    The keys do not depend on how the lanes are spread over devices, and lane `i` keeps its key when lanes are added.

    Args:
        key: The key of this step; it must not be split elsewhere, since `split(key, n)[i] == fold_in(key, i)`.
        lanes: Number of lanes on this device.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        A key for each lane of this device.
    """
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * lanes
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(lanes))
