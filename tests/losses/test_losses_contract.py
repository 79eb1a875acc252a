"""What holds for all of `losses` beside the laws of `tests/test_conformance.py`."""

import os
import subprocess
import sys

import jax.numpy as jnp

from bellmax import losses


def test_masked_mean_is_the_one_of_the_core():
    assert float(losses.masked_mean(jnp.array([1.0, 5.0]), jnp.array([True, False]))) == 1


_UNCHECKED = """
import jax.numpy as jnp
from bellmax.losses import value_loss
from bellmax.policies import epsilon_greedy
from bellmax.returns import lambda_returns
assert value_loss(jnp.ones((3, 1)), jnp.ones(3)).shape == (3, 3)
assert value_loss(1, 3) == 2
assert epsilon_greedy(jnp.ones(2), 0.5).probs.shape == (2,)
assert lambda_returns(jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.ones((3, 2)), 0.5).shape == (3, 2)
try:
    epsilon_greedy(jnp.ones(2), 2.0)
except ValueError:
    print("unchecked")
"""


def test_an_environment_variable_turns_the_checks_off_and_leaves_the_conversions_and_ranges():
    environment = {**os.environ, "JAXTYPING_DISABLE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", _UNCHECKED], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.stdout.strip() == "unchecked", run.stderr
