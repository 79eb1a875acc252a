"""Whether what should be the same on every device is."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from ._state import TrainState, halves
from ._trainer import Trainer

AXIS = "devices"


def check_step(trainer: Trainer, devices: int = 2) -> None:
    """Looks for what a trainer's step forgets to average across devices, by its types alone: no device is needed.

    A gradient without its mean, a statistic of this device's lanes, a key that depends on the device: under
    `shard_map` and `pmap` each makes devices part in silence.

    Args:
        trainer: Its `step` is traced with its lanes spread over a mapped axis; nothing is computed.
        devices: Length of that axis.

    Raises:
        ValueError: If a leaf of the `shared` half, or a metric, depends on the device; it names the first that does.
    """
    state = jax.eval_shape(trainer.init, jax.random.key(0))
    cut = TrainState(
        state.shared,
        jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((devices, leaf.shape[0] // devices, *leaf.shape[1:]), leaf.dtype),
            state.local,
        ),
    )

    def whole(state: TrainState, axis_name: str | None = AXIS) -> dict[str, Any]:
        state, metrics = trainer.step(state, axis_name=axis_name)
        return {"shared": state.shared, "metrics": metrics}

    def depends(read: Callable[[TrainState], Any]) -> bool:
        try:
            jax.eval_shape(jax.vmap(read, (halves(None, 0),), None, axis_name=AXIS), cut)
        except ValueError as error:
            if "out_axes" not in str(error):
                raise
            return True
        return False

    if depends(whole):
        named = jax.tree_util.tree_leaves_with_path(jax.eval_shape(lambda state: whole(state, None), state))
        names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in named]
        name = next(
            name for i, name in enumerate(names) if depends(lambda state, i=i: jax.tree.leaves(whole(state))[i])
        )
        raise ValueError(
            f"the step of {type(trainer.algorithm).__name__} gives every device a {name} of its own; what learns "
            "from the lanes of several devices takes axis_name: value_and_grad(loss, axis_name), "
            "masked_mean(x, mask, axis_name)"
        )


def assert_replicated(tree: PyTree) -> None:
    """Asserts that the copies of every array are the same on all devices of all processes, bit for bit.

    It waits for the arrays and copies them to the host, so call it now and then; every process has to.

    Args:
        tree: Arrays that are whole on every device, such as the `shared` half of a training state.

    Raises:
        RuntimeError: If copies differ; it names the first leaf that does, two devices and the largest difference.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path)
        copies = [(shard.device, _host(shard.data)) for shard in leaf.addressable_shards]
        if copies[0][1].shape != _host_shape(leaf):
            raise ValueError(f"{name} is cut into devices, not whole on each")
        for device, copy in copies[1:]:
            _compare(name, f"device {copies[0][0].id}", copies[0][1], f"device {device.id}", copy)
        if jax.process_count() > 1:
            of_all = multihost_utils.process_allgather(copies[0][1])
            for process in range(1, len(of_all)):
                _compare(name, "process 0", of_all[0], f"process {process}", of_all[process])


def _compare(name: str, one: str, copy: np.ndarray, other: str, another: np.ndarray) -> None:
    if copy.tobytes() == another.tobytes():
        return
    distance = np.max(np.abs(copy.astype(np.float64) - another.astype(np.float64)))
    raise RuntimeError(
        f"replicas have parted: {name} is not the same on {one} and on {other}, by up to {distance:.3g}; something "
        "that differs between devices reached it without a mean over the axis of devices"
    )


def _host(array: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(array) if _is_key(array) else array)


def _host_shape(array: jax.Array) -> tuple[int, ...]:
    return jax.eval_shape(jax.random.key_data, array).shape if _is_key(array) else array.shape


def _is_key(array: jax.Array) -> bool:
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)
