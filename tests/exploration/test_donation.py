"""States of transforms and of exploration can be donated: no two fields share a buffer."""

import functools

import jax
import jax.numpy as jnp
import pytest

from bellmax import exploration, transforms

STATES = {
    "init_moments": lambda: transforms.init_moments({"a": jnp.zeros(2), "b": 0.0}),
    "init_ema_moments": lambda: transforms.init_ema_moments(jnp.zeros(2)),
    "init_popart": lambda: transforms.init_popart(2),
    "init_return_range": transforms.init_return_range,
    "init_reward_scale": lambda: transforms.init_reward_scale((2,)),
    "init_episodic_memory": lambda: exploration.init_episodic_memory(3, 2),
    "clear_episodic_memory": lambda: exploration.clear_episodic_memory(exploration.init_episodic_memory(3, 2)),
}


def test_every_function_that_starts_a_state_is_listed():
    names = [*vars(transforms), *vars(exploration)]
    assert {name for name in names if name.startswith(("init_", "clear_"))} == set(STATES)


@pytest.mark.parametrize("name", STATES)
def test_a_new_state_is_donated(name):
    step = jax.jit(functools.partial(jax.tree.map, lambda leaf: leaf + jnp.ones((), leaf.dtype)), donate_argnums=0)
    state = STATES[name]()
    after = step(state)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    step(after)
