"""One run, or many seeds, spread over devices."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Int, Key, PyTree

from .._core import Mean
from ._chunk import train_chunk
from ._replicas import AXIS, check_step
from ._state import TrainState, halves
from ._trainer import Trainer

How = Literal["shard_map", "pmap", "jit"]
"""Which transformation of JAX spreads a run over devices."""
Spread = Literal["lanes", "seeds"]
"""What is spread: the environments of each seed, or the seeds, each whole."""


@dataclasses.dataclass(frozen=True, eq=False)
class Parallel:
    """Runs a trainer on several devices; the numbers are those of one device, to rounding.

    Either the lanes of each run are spread over the devices: environments, rollouts and replay are cut along them,
    networks, optimiser and statistics are on every device, and gradients, moments and metrics are averaged across
    devices. Or seeds are: each device trains some, and nothing is exchanged.

    All three ways compile the same pure `trainer.step`. `shard_map` and `pmap` give each device its part of the lanes
    and say where devices exchange something, `jit` leaves that to the compiler.

    Attributes:
        trainer: What to run.
        devices: The devices, of all processes; None for all that JAX sees.
        how: `shard_map`, `pmap` or `jit`; with several processes not `pmap`, which knows the arrays of its own alone.
        spread: What is spread over the devices: the `lanes` of each run, or the `seeds`.
        check: Whether to look first, by types alone, for what the algorithm forgets to average across devices.
        compiler: Compiles as `jax.jit` does, whose arguments it takes.

    Raises:
        ValueError: If the devices do not divide the lanes, or the seeds; or if the algorithm gives devices different
            networks or statistics.

    Example:
        >>> from bellmax import algorithms, envs
        >>> trainer = Trainer(algorithms.PPO(rollout_length=8), envs.make("toy/bandit"), num_envs=4)
        >>> parallel = Parallel(trainer, devices=jax.devices()[:1])
        >>> state, metrics = parallel.chunk(parallel.init(jax.random.key(0)), 2)
        >>> int(state.shared.steps)
        64
    """

    trainer: Trainer
    devices: Sequence[Any] | None = None
    how: How = "shard_map"
    spread: Spread = "lanes"
    check: bool = True
    compiler: Callable[..., Any] = jax.jit

    def __post_init__(self):
        for name, kind in (("how", How), ("spread", Spread)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}; got {getattr(self, name)!r}")
        if self.spread == "lanes":
            _check_divides(self.mesh.size, self.trainer.num_envs, "environments (num_envs)")
            if self.check and self.mesh.size > 1 and self.how != "jit":
                check_step(self.trainer, self.mesh.size)

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices along one axis."""
        devices = jax.devices() if self.devices is None else self.devices
        return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))

    def init(self, key: Key[Array, "*seeds"], knobs: PyTree[Array] | None = None) -> TrainState:
        """Makes the state of a run, or of several, where it belongs.

        Args:
            key: Of one run, or one a seed.
            knobs: Hyperparameters, as `Trainer.init` takes them; with a leading axis of seeds if the key has one.

        Returns:
            The state, as `trainer.init` makes it; with a leading axis of seeds if the key has one.
        """
        with jax.set_mesh(self.mesh):  # and not another, should one be set
            words = np.asarray(jax.random.key_data(key))  # of no mesh, and of no process
            return self._programs(self._is_mapped(key)).init(words, knobs, jax.random.key_impl(key))

    def chunk(
        self, state: TrainState, calls: int | Int[Array, ""], metrics: dict[str, Mean] | None = None
    ) -> tuple[TrainState, dict[str, Mean]]:
        """Takes a number of trainer steps and adds their metrics up.

        Wait for the result before the next call: programs that exchange numbers and queue up on a CPU which poses as
        several devices can wait for each other for ever.

        Args:
            state: As `init` or `place` returns it; it is donated.
            calls: Number of `trainer.step`s; the number may change without another compilation.
            metrics: What earlier chunks returned, to add to; None to begin anew.

        Returns:
            The next state and the metrics, each with a leading axis of seeds if the state has one.
        """
        metrics = self.no_metrics(state) if metrics is None else metrics
        with jax.set_mesh(self.mesh):
            return self._programs(self._is_mapped(state.shared.key)).chunk(state, calls, metrics)

    def lower(self, state: TrainState, metrics: dict[str, Mean]) -> Any:
        """Lowers `chunk` for such a state and metrics, to be compiled ahead of the first call."""
        with jax.set_mesh(self.mesh):
            return self._programs(self._is_mapped(state.shared.key)).chunk.lower(state, 1, metrics)

    def no_metrics(self, state: TrainState) -> dict[str, Mean]:
        """Returns the metrics of no step at all."""
        with jax.set_mesh(self.mesh):
            return self._programs(self._is_mapped(state.shared.key)).no_metrics(state)

    def on_host(self, metrics: dict[str, Mean]) -> dict[str, Mean]:
        """Brings metrics whole to the host, as NumPy arrays; every process has to call it.

        One program takes them all: to start one, or to copy one array, costs more than such few numbers do.
        """
        leaves, structure = jax.tree.flatten(metrics)
        with jax.set_mesh(self.mesh):
            packed = np.asarray(self._stack(leaves))
        return jax.tree.unflatten(structure, list(packed))

    @functools.cached_property
    def _stack(self) -> Callable[[list[Array]], Array]:
        return jax.jit(jnp.stack, out_shardings=NamedSharding(self.mesh, P()))

    def place(self, state: TrainState) -> TrainState:
        """Puts a whole state, of one device or of another number of them, where this one wants it."""
        return jax.device_put(state, self._programs(self._is_mapped(state.shared.key)).shardings)

    def _is_mapped(self, key: Key[Array, "*seeds"]) -> bool:
        """Returns whether there is an axis of seeds, that can be spread if it has to be."""
        if key.ndim > 1 or (key.ndim == 0 and self.spread == "seeds"):
            raise ValueError(f"spreading {self.spread} takes the keys of seeds along one axis; got shape {key.shape}")
        if self.spread == "seeds":
            _check_divides(self.mesh.size, len(key), "seeds")
        return key.ndim == 1

    @functools.cached_property
    def _programs(self) -> Callable[[bool], "_Programs"]:
        return functools.cache(lambda mapped: _Programs(self, mapped))


class _Programs:
    """What is compiled for one run, or for a leading axis of seeds."""

    def __init__(self, parallel: Parallel, mapped: bool):
        self._trainer, self._mapped = parallel.trainer, mapped
        self._over_lanes = parallel.spread == "lanes"
        metrics = P() if self._over_lanes else P(AXIS)
        lanes = P(None, AXIS) if mapped else P(AXIS)
        specs = halves(P(), lanes) if self._over_lanes else halves(P(AXIS), P(AXIS))
        self.shardings, metrics_sharding = jax.tree.map(
            lambda spec: NamedSharding(parallel.mesh, spec), (specs, metrics), is_leaf=lambda leaf: isinstance(leaf, P)
        )
        init = jax.vmap(parallel.trainer.init) if mapped else parallel.trainer.init
        self.init = parallel.compiler(
            lambda words, knobs, kind: init(jax.random.wrap_key_data(words, impl=kind), knobs),
            static_argnums=2,
            out_shardings=self.shardings,
        )
        if parallel.how == "shard_map":
            chunk = jax.shard_map(
                self._on_device,
                mesh=parallel.mesh,
                in_specs=(specs, P(), metrics),
                out_specs=(specs, metrics),
                check_vma=False,
            )
        elif parallel.how == "pmap":
            chunk = self._pmap(parallel.mesh)
        else:
            chunk = functools.partial(self._on_device, across=None)
        shardings = self.shardings, metrics_sharding
        self.chunk = parallel.compiler(chunk, donate_argnums=0, out_shardings=shardings)
        self._metrics_sharding, self._zeros = metrics_sharding, None

    def no_metrics(self, state: TrainState) -> dict[str, Mean]:
        """Makes zeros where metrics belong; the step is traced once for their shapes."""
        if self._zeros is None:
            step = jax.vmap(self._trainer.step) if self._mapped else self._trainer.step
            shapes = jax.eval_shape(lambda state: step(state)[1], state)
            zeros = functools.partial(jax.tree.map, lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            self._zeros = jax.jit(zeros, out_shardings=self._metrics_sharding)()
        return self._zeros

    def _on_device(self, state: TrainState, calls: Int[Array, ""], metrics: dict[str, Mean], across: str | None = AXIS):
        """What one device does with its part of the state."""
        axis_name = across if self._over_lanes else None

        def run(state, metrics):
            return train_chunk(self._trainer, state, calls, metrics, axis_name=axis_name)

        if not self._mapped:
            return run(state, metrics)
        if state.shared.key.shape[0] > 1:
            return jax.vmap(run)(state, metrics)
        # A condition under vmap computes both of its sides: warm-up would cost as much as learning.
        alone = jax.tree.map(lambda leaf: leaf[0], (state, metrics))
        return jax.tree.map(lambda leaf: leaf[None], run(*alone))

    def _pmap(self, mesh: Mesh):
        """Gives each device its part along an axis of its own, as `pmap` wants it."""
        shared = None if self._over_lanes else 0
        local = 1 if self._over_lanes and self._mapped else 0
        axes = halves(shared, local)
        everywhere = jax.pmap(
            self._on_device,
            axis_name=AXIS,
            in_axes=(axes, None, shared),
            out_axes=(axes, shared),
            devices=list(mesh.devices.flat),
        )

        def cut(tree: Any, axis: int | None) -> Any:
            if axis is None:
                return tree
            return jax.tree.map(
                lambda leaf: leaf.reshape(*leaf.shape[:axis], mesh.size, -1, *leaf.shape[axis + 1 :]), tree
            )

        def joined(tree: Any, axis: int | None) -> Any:
            if axis is None:
                return tree
            return jax.tree.map(lambda leaf: leaf.reshape(*leaf.shape[:axis], -1, *leaf.shape[axis + 2 :]), tree)

        def chunk(state, calls, metrics):
            state = TrainState(cut(state.shared, shared), cut(state.local, local))
            state, metrics = everywhere(state, calls, cut(metrics, shared))
            return TrainState(joined(state.shared, shared), joined(state.local, local)), joined(metrics, shared)

        return chunk


def local_copy(tree: PyTree[Array]) -> PyTree[Array]:
    """Brings arrays whole to one device of this process; every process that has a part of them has to call it."""

    def whole(leaf):
        if isinstance(leaf.sharding, NamedSharding) and not leaf.is_fully_replicated:
            leaf = jax.jit(lambda leaf: leaf, out_shardings=NamedSharding(leaf.sharding.mesh, P()))(leaf)
        return leaf.addressable_data(0) if len(leaf.sharding.device_set) > 1 else leaf

    return jax.tree.map(whole, tree)


def _check_divides(devices: int, count: int, what: str) -> None:
    if count % devices:
        raise ValueError(
            f"every device takes as many {what}, so the devices must divide them; got {devices} devices for {count}"
        )
