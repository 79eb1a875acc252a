import jax.numpy as jnp

from bellmax._core import value_at
from helpers import assert_close


def test_a_number_stays_and_a_function_sees_the_step():
    step = jnp.array(4.0)
    assert value_at(0.5, step) == 0.5
    assert_close(value_at(jnp.array(0.25), step), 0.25)
    assert_close(value_at(lambda step: 1 / step, step), 0.25)
