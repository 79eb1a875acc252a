import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import losses
from helpers import action_values, as_q_arguments, assert_close, assert_frequencies, gradient

pytestmark = pytest.mark.slow

# Compiled at once: a test of many small operations would compile each of them.
ensemble_mean = jax.jit(losses.ensemble_mean)
ensemble_min = jax.jit(losses.ensemble_min)
lower_confidence_bound = jax.jit(losses.lower_confidence_bound)
clipped_double_q_learning_error = jax.jit(losses.clipped_double_q_learning_error, static_argnames="transform")
q_learning_error = jax.jit(losses.q_learning_error, static_argnames="transform")
random_subset_min = jax.jit(losses.random_subset_min, static_argnums=1)

_Q = np.array([[1.0, 5.0, 2.0], [3.0, 4.0, 2.0], [8.0, 0.0, 2.0]])  # three members, three examples


def test_reductions_by_hand():
    assert_close(ensemble_min(_Q), [1, 0, 2])
    assert_close(ensemble_mean(_Q), [4, 3, 2])
    # Deviations from 4, 3 and 2: √((9 + 1 + 16)/3), √((4 + 1 + 9)/3), 0.
    assert_close(lower_confidence_bound(_Q, 2.0), [4 - 2 * np.sqrt(26 / 3), 3 - 2 * np.sqrt(14 / 3), 2])


def test_only_the_least_member_learns_from_a_minimum():
    assert_close(gradient(ensemble_min, jnp.asarray(_Q, jnp.float32))[:, :2], [[1, 0], [0, 0], [0, 1]])


def test_a_bound_without_deviations_is_the_mean():
    assert_close(lower_confidence_bound(_Q, 0), ensemble_mean(_Q))
    assert_close(
        gradient(lambda q: lower_confidence_bound(q, 0.0), jnp.asarray(_Q, jnp.float32)), np.full((3, 3), 1 / 3)
    )


def test_members_that_agree_have_a_finite_gradient():
    agree = jnp.full((4, 2), 3.0)
    assert_close(lower_confidence_bound(agree, 5.0), [3, 3])
    assert_close(gradient(lambda q: lower_confidence_bound(q, 5.0), agree), np.full((4, 2), 0.25))


def test_the_deviation_survives_a_large_mean():
    q = 1e4 + np.array([[-1.0], [0.0], [1.0]])
    assert_close(1e4 - lower_confidence_bound(q, 1.0), [np.sqrt(2 / 3)], rtol=2e-3)


def test_masked_actions_stay_masked():
    q = jnp.array([[1.0, -jnp.inf], [3.0, -jnp.inf]])
    assert_close(lower_confidence_bound(q, 1.0), [1, -np.inf])
    assert np.isfinite(gradient(lambda q: lower_confidence_bound(q, 1.0), q)).all()
    assert np.isnan(lower_confidence_bound(jnp.array([[jnp.nan], [1.0]]), 1.0)).all()


def test_knobs_and_sizes_out_of_range_are_refused():
    with pytest.raises(ValueError, match="k must not be negative"):
        losses.lower_confidence_bound(_Q, -1.0)
    for size in (0, 4):
        with pytest.raises(ValueError, match="subset_size must be from 1 to 3"):
            losses.random_subset_min(_Q, size, key=jax.random.key(0))
    for function in (losses.ensemble_min, losses.ensemble_mean, lambda q: losses.lower_confidence_bound(q, 1.0)):
        with pytest.raises(ValueError, match="at least one member"):
            function(jnp.zeros((0, 2)))


def _subsets(members, size, draws=1000):
    """Which members each draw could see: a member counts if lowering it alone lowers the minimum."""
    keys = jax.random.split(jax.random.key(3), draws)
    lowered = 1.0 - jnp.eye(members)  # one column a member, whose own value is the lowest
    draw = jax.jit(jax.vmap(lambda key: random_subset_min(lowered, size, key=key)))
    return np.asarray(draw(keys)) == 0


@pytest.mark.parametrize(("members", "size"), [(5, 2), (3, 3)])
def test_subsets_are_drawn_alike_and_without_replacement(members, size):
    seen = _subsets(members, size)
    assert (seen.sum(axis=1) == size).all()
    codes, counts = np.unique(seen @ (1 << np.arange(members)), return_counts=True)
    possible = {(5, 2): 10, (3, 3): 1}[members, size]
    assert len(codes) == possible
    assert_frequencies(np.repeat(np.arange(possible), counts), np.full(possible, 1 / possible))


def test_all_members_make_the_minimum_and_one_seed_one_subset():
    key = jax.random.key(1)
    assert_close(random_subset_min(_Q, 3, key=key), ensemble_min(_Q))
    many = np.random.default_rng(0).normal(size=(10, 50))
    once, again = (np.asarray(random_subset_min(many, 2, key=key)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    # All examples share the subset: two members say everything.
    rows = {int(np.flatnonzero(np.isclose(many[:, i], once[i]))[0]) for i in range(50)}
    assert len(rows) == 2


def test_a_subset_is_differentiable_keeps_its_type_and_is_jitted():
    key = jax.random.key(2)
    q = jnp.asarray(_Q, jnp.bfloat16)
    assert random_subset_min(q, 2, key=key).dtype == jnp.bfloat16
    slope = jax.jit(lambda q: gradient(lambda q: random_subset_min(q, 2, key=key), q))(jnp.asarray(_Q, jnp.float32))
    assert_close(slope.sum(axis=0), np.ones(3))


def test_clipped_double_q_by_hand():
    q, next_q = jnp.array([1.0, 2.0]), jnp.array([[3.0, 4.0], [5.0, 0.0]])
    # The least of the members: 3 and 0. The best of these is 3; the first member would choose the 0.
    assert_close(clipped_double_q_learning_error(q, 0, 1.0, 0.5, next_q), 1.5)
    assert_close(clipped_double_q_learning_error(q, 0, 1.0, 0.5, next_q, next_q[0]), 0)


def test_clipped_double_q_is_bounded_by_its_kin():
    q, action, reward, discount, *_ = as_q_arguments(*action_values(4, batch=20))
    next_q = jnp.asarray(np.random.default_rng(4).normal(size=(3, 20, 4)), jnp.float32)
    start = (q, action, reward, discount)
    clipped = clipped_double_q_learning_error(*start, next_q)
    plain = jax.vmap(lambda member: q_learning_error(*start, member))(next_q)
    selected = jax.vmap(lambda member: clipped_double_q_learning_error(*start, next_q, member))(next_q)
    assert (clipped <= plain.min(axis=0)).all()
    assert (selected <= clipped[None]).all()
    # The least over members of every member's own greedy action, spelled out.
    members = np.asarray(next_q)
    best = members.argmax(-1)
    own = np.array([[[members[i, n, best[j, n]] for n in range(20)] for j in range(3)] for i in range(3)])
    expected = np.asarray(reward) + np.asarray(discount) * own.min(axis=(0, 1))
    assert_close(selected.min(axis=0), expected - np.asarray(q)[np.arange(20), np.asarray(action)])
    one = clipped_double_q_learning_error(*start, next_q[:1])
    assert_close(one, plain[0], rtol=0, atol=0)


def test_masked_next_actions_are_not_chosen_by_pessimists():
    q, next_q = jnp.array([1.0, 2.0]), jnp.array([[-jnp.inf, 4.0], [-jnp.inf, 3.0]])
    assert_close(clipped_double_q_learning_error(q, 0, 1.0, 1.0, next_q), 3)
    assert_close(clipped_double_q_learning_error(q, 0, 1.0, 0.0, next_q * jnp.inf), 0)
