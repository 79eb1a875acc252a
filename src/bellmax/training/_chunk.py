"""Many steps in one compiled program."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from .._core import Mean
from ._state import TrainState
from ._trainer import Trainer


def train_chunk(
    trainer: Trainer,
    state: TrainState,
    calls: int | Int[Array, ""],
    metrics: dict[str, Mean] | None = None,
    *,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, Mean]]:
    """Takes a number of trainer steps and adds their metrics up.

    The number may be traced: one compilation serves chunks of any length. Compile with the state donated, and return to
    the host between chunks to log, evaluate and save:

    `chunk = jax.jit(lambda state, calls: train_chunk(trainer, state, calls), donate_argnums=0)`.

    Args:
        trainer: What to run.
        state: Where to go on.
        calls: Number of `trainer.step`s.
        metrics: What earlier chunks returned, to add to: step by step, so that the sum does not depend on how long
            chunks are. None to begin anew.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The next state and the metrics, of the earlier chunks too.
    """

    def step(_, carry):
        state, total = carry
        state, new = trainer.step(state, axis_name=axis_name)
        return state, jax.tree.map(jnp.add, total, new)

    if metrics is None:
        shapes = jax.eval_shape(lambda state: trainer.step(state, axis_name=axis_name)[1], state)
        metrics = jax.tree.map(jnp.zeros_like, shapes)
    return jax.lax.fori_loop(0, calls, step, (state, metrics))
