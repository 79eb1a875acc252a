import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax._core import Counter
from helpers import assert_close


def _at(count):
    return Counter(jnp.uint32(count >> 32), jnp.uint32(count & 0xFFFFFFFF))


@pytest.mark.parametrize("start", [0, 2**24, 2**31 - 2, 2**31, 2**32 - 3, 2**32 - 1, 2**33 + 5])
@pytest.mark.parametrize("amount", [0, 1, 3, 2**31 - 1])
def test_adds_exactly_past_every_word(start, amount):
    added = _at(start) + amount
    assert int(added) == start + amount
    assert added.low.dtype == added.high.dtype == jnp.uint32


def test_adds_any_amount_below_two_to_the_32():
    assert int(Counter.zero() + (2**32 - 1)) == 2**32 - 1


def test_adds_arrays_under_jit_and_in_a_scan():
    amount = jnp.int32(2**30)
    total, _ = jax.lax.scan(lambda count, _: (count + amount, None), Counter.zero(), length=10)
    assert int(total) == 10 * 2**30
    assert int(jax.jit(lambda count: count + 7)(_at(2**32 - 4))) == 2**32 + 3


def test_starts_at_zero():
    assert int(Counter.zero()) == 0


def test_as_float_is_the_count():
    for count in (0, 5, 2**24, 2**31, 2**32 + 2**20, 2**40):
        assert_close(_at(count).as_float(), count, rtol=1e-7)


def test_keys_differ_between_counts_with_the_same_low_or_high_word():
    key = jax.random.key(0)
    counts = [0, 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**33]
    data = {tuple(np.asarray(jax.random.key_data(_at(count).fold_into(key))).tolist()) for count in counts}
    assert len(data) == len(counts)
