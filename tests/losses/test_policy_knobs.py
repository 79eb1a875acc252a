"""Knobs of the policy losses let gradients through, and arrays of different widths may stand beside each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import losses
from cases import losses_policy, losses_policy_actors, losses_policy_mpo, losses_policy_offline
from conformance import as_arrays, caller, draw, floats
from helpers import float32

pytestmark = pytest.mark.slow

_X, _A, _B = float32([0.5, -0.7, -0.1, 0.9], [1.0, -2.0, 0.5, -0.3], [-1.0, 0.2, 0.4, 2.0])
_ROWS = jnp.stack([_A, _B])

KNOBS = {
    "ppo_clip_loss: epsilon": (0.2, lambda k: losses.ppo_clip_loss(_X, _A, epsilon=k, epsilon_high=0.3)),
    "ppo_clip_loss: epsilon_high": (0.2, lambda k: losses.ppo_clip_loss(_X, _A, epsilon_high=k)),
    "ppo_clip_loss: dual_clip": (1.1, lambda k: losses.ppo_clip_loss(3 * _X, -abs(_A), dual_clip=k)),
    "ppo_kl_loss: beta": (0.5, lambda k: losses.ppo_kl_loss(_X, _A, jnp.square(_X), beta=k)),
    "discovered_policy_loss: alpha": (1.0, lambda k: losses.discovered_policy_loss(_X, _A, alpha=k)),
    "discovered_policy_loss: beta": (0.5, lambda k: losses.discovered_policy_loss(_X, _A, beta=k)),
    "simple_policy_loss: epsilon": (0.2, lambda k: losses.simple_policy_loss(_X, _A, epsilon=k)),
    "cispo_loss: epsilon": (0.2, lambda k: losses.cispo_loss(_B, _X, _A, epsilon=k, epsilon_high=0.3)),
    "cispo_loss: epsilon_high": (0.2, lambda k: losses.cispo_loss(_B, _X, _A, epsilon_high=k)),
    "dpg_loss: clip": (0.5, lambda k: losses.dpg_loss(_A, _B, clip=k)),
    "temperature_loss: multiplier": (0.5, lambda k: losses.temperature_loss(k, _X, -1.0)),
    "temperature_loss: target_entropy": (-1.0, lambda k: losses.temperature_loss(0.5, _X, k)),
    "discrete_temperature_loss: multiplier": (0.5, lambda k: losses.discrete_temperature_loss(k, _X, 0.5)),
    "discrete_temperature_loss: target_entropy": (0.5, lambda k: losses.discrete_temperature_loss(0.5, _X, k)),
    "mpo_temperature_loss: temperature": (0.5, lambda k: losses.mpo_temperature_loss(_X, k, epsilon=0.1)),
    "mpo_temperature_loss: epsilon": (0.1, lambda k: losses.mpo_temperature_loss(_X, 0.5, epsilon=k)),
    "kl_penalty_loss: multiplier": (0.5, lambda k: losses.kl_penalty_loss(jnp.square(_X), k, epsilon=0.1)),
    "kl_penalty_loss: epsilon": (0.1, lambda k: losses.kl_penalty_loss(jnp.square(_X), 0.5, epsilon=k)),
    "vmpo_loss: temperature": (0.5, lambda k: losses.vmpo_loss(_X, _A, k, epsilon=0.1).temperature),
    "vmpo_loss: epsilon": (0.1, lambda k: losses.vmpo_loss(_X, _A, 0.5, epsilon=k).temperature),
    "awr_loss: temperature": (0.5, lambda k: losses.awr_loss(_X, _A, temperature=k)),
    "awr_loss: max_weight": (1.2, lambda k: losses.awr_loss(_X, _A, max_weight=k)),
    "awac_loss: temperature": (0.5, lambda k: losses.awac_loss(_X, _A, temperature=k)),
    "td3_bc_loss: alpha": (2.5, lambda k: losses.td3_bc_loss(_A[:2], _ROWS, 2 * _ROWS, alpha=k)),
    "rebrac_actor_loss: beta": (0.5, lambda k: losses.rebrac_actor_loss(_A[:2], _ROWS, 2 * _ROWS, beta=k)),
    "rebrac_critic_error: beta": (
        0.5,
        lambda k: losses.rebrac_critic_error(*(_A[:2],) * 4, _ROWS, 2 * _ROWS, beta=k),
    ),
    "group_advantage: epsilon": (0.1, lambda k: jnp.square(losses.group_advantage(_X, epsilon=k))),
}
DATA = {
    "sac_actor_loss: alpha": (0.5, lambda k: losses.sac_actor_loss(_X, _A, k)),
    "discrete_sac_actor_loss: alpha": (0.5, lambda k: losses.discrete_sac_actor_loss(_X, _A, k)),
    "mpo_weights: temperature": (0.5, lambda k: jnp.square(losses.mpo_weights(_X, k))),
    "vmpo_loss: temperature, in the weights": (0.5, lambda k: losses.vmpo_loss(_X, _A, k, epsilon=0.1).policy),
    # α d − α d, where the first α is data: what is left is α ε.
    "kl_penalty_loss: multiplier, in the penalty": (
        0.5,
        lambda k: losses.kl_penalty_loss(jnp.square(_X), k, epsilon=0.1) - k * (0.1 - jnp.square(_X)),
    ),
}


def test_gradients_reach_the_knobs_and_stop_at_those_that_are_data():
    table = {**KNOBS, **DATA}

    def total(knobs):
        return sum(jnp.sum(table[name][1](knob)) for name, knob in knobs.items())

    slopes = jax.jit(jax.grad(total))({name: jnp.float32(value) for name, (value, _) in table.items()})
    assert all(np.isfinite(slope) for slope in slopes.values()), slopes
    assert [name for name in KNOBS if abs(slopes[name]) < 1e-3] == []
    assert [name for name in DATA if abs(slopes[name]) > 1e-6] == []


CASES = {
    name: case
    for module in (losses_policy, losses_policy_actors, losses_policy_mpo, losses_policy_offline)
    for name, case in module.CASES.items()
}


@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_widths_may_be_mixed(name, narrow):
    case = CASES[name]
    arguments = as_arrays(draw(case))
    names = [name for name in floats(arguments) if arguments[name].ndim and name not in case.broadcasts]
    for each in names[narrow::2]:
        arguments[each] = arguments[each].astype(jnp.bfloat16)
    wide = case.wide or len(names) > 1
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for leaf in jax.tree.leaves(jax.eval_shape(caller(case, case.function), arguments)):
            assert leaf.dtype == (jnp.float32 if wide or narrow else jnp.bfloat16)
