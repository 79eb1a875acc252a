import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax

from bellmax.distributional import categorical_mean, categorical_projection, linear_support, symexp_support
from bellmax.distributional._projection import _scatter, _select
from cases.distributional import drawn_probs, projection_loop
from helpers import assert_close, float32, lenient

project = jax.jit(categorical_projection)
SUPPORTS = {
    "even": np.linspace(-10, 10, 51),
    "almost even": np.linspace(-10, 10, 51) + 0.05 * np.sin(np.arange(51)),
    "uneven": np.sort(np.random.default_rng(0).normal(size=51)) * 8,
    "far from zero": np.linspace(1000, 1001, 51),
    "symexp": np.asarray(symexp_support(-9, 9, 51), np.float64),
}


def _near(support, seed=0):
    """Atoms inside, outside, on atoms of the support and one float beside them."""
    rng = np.random.default_rng(seed)
    support = np.asarray(support, np.float32)
    inside = rng.uniform(support[0] - 1, support[-1] + 1, (3, 51)).astype(np.float32)
    atoms = np.stack([*inside, support, np.nextafter(support, np.inf), np.nextafter(support, -np.inf)])
    return atoms, drawn_probs(rng, atoms.shape).astype(np.float32), support


def test_by_hand():
    # 0.25 shares ½ as ⅜ and ⅛ between 0 and 1; 7 is clipped to 2; the rest is on 1.
    atoms, probs, support = float32([0.25, 7, 1], [0.5, 0.3, 0.2], [0, 1, 2])
    assert_close(categorical_projection(atoms, probs, support), [0.375, 0.325, 0.3], atol=1e-7)


@pytest.mark.parametrize("name", SUPPORTS)
def test_equals_float64_on_every_support(name):
    atoms, probs, support = _near(SUPPORTS[name])
    assert_close(project(atoms, probs, support), projection_loop(atoms, probs, support), rtol=0, atol=3e-6)


@pytest.mark.parametrize("name", SUPPORTS)
def test_equals_rlax(name):
    atoms, probs, support = _near(SUPPORTS[name], seed=1)
    with lenient():
        expected = jax.jit(jax.vmap(rlax.categorical_l2_project, (0, 0, None)))(atoms, probs, support)
    assert_close(project(atoms, probs, support), expected, rtol=0, atol=3e-6)


def test_rlax_makes_mass_of_an_unsorted_support_which_is_refused_here():
    atoms, probs, support = float32([0.5, 1.5], [0.5, 0.5], [0, 2, 1, 3])
    with lenient():
        assert abs(rlax.categorical_l2_project(atoms, probs, support).sum() - 1) > 0.1
    with pytest.raises(ValueError, match="categorical_projection: the support must be finite and strictly increasing"):
        categorical_projection(atoms, probs, support)


def test_projection_onto_its_own_atoms_is_the_identity():
    for name in SUPPORTS:
        atoms, probs, support = _near(SUPPORTS[name])
        np.testing.assert_allclose(project(np.broadcast_to(support, atoms.shape), probs, support), probs, atol=2e-7)


def test_mass_and_mean_are_conserved():
    rng = np.random.default_rng(2)
    for support in SUPPORTS.values():
        low, high = support[[0, -1]]
        atoms, probs = rng.uniform(low, high, (6, 51)), drawn_probs(rng, (6, 51))
        projected = project(*float32(atoms, probs, support))
        assert_close(projected.sum(-1), np.ones(6), rtol=0, atol=1e-6)
        found = np.asarray(projected, np.float64) @ np.asarray(support, np.float32)
        assert_close(found, np.sum(np.float32(atoms) * probs, -1), rtol=1e-6, atol=1e-6 * max(abs(low), abs(high)))
        assert (projected >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", SUPPORTS)
def test_no_mass_is_negative_and_none_strays(name):
    """Where differences of sums would leave crumbs: atoms clipped to an end, on atoms, or one float beside them."""
    atoms, probs, support = _near(SUPPORTS[name], seed=6)
    for found in (project(atoms, probs, support), categorical_projection(atoms, probs, support)):
        assert (found >= 0).all()
    for end, place in ((1e30, -1), (-np.inf, 0), (support[-1], -1), (support[0], 0)):
        clipped = np.asarray(project(np.full_like(atoms, end), probs, support))
        assert_close(clipped[:, place], probs.sum(-1), rtol=1e-6)
        assert np.count_nonzero(clipped) == len(clipped)
    # On an atom of the support a mass goes nowhere else.
    each = np.asarray(project(support[:, None], np.ones((51, 1), np.float32), support))
    assert (each >= 0).all()
    assert_close(np.diagonal(each), np.ones(51), rtol=0, atol=2e-5 if name == "far from zero" else 1e-6)


def test_atoms_may_be_shared_by_all_examples():
    rng = np.random.default_rng(7)
    atoms, probs, support = rng.normal(size=4), drawn_probs(rng, (2, 3, 4)), SUPPORTS["even"]
    expected = projection_loop(np.broadcast_to(atoms, probs.shape), probs, support)
    assert_close(project(*float32(atoms, probs, support)), expected)
    assert_close(project(*float32(atoms, probs[0, 0], support)), expected[0, 0])
    for wrong in ((3, 4), (1, 4), (2, 1, 4), (5,)):
        with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)categorical_projection.*probs"):
            categorical_projection(jnp.zeros(wrong), jnp.zeros((2, 3, 4)), jnp.arange(3.0))


def test_number_and_order_of_the_source_atoms_do_not_matter():
    rng = np.random.default_rng(3)
    atoms, probs = rng.normal(0, 2, (6, 7)), drawn_probs(rng, (6, 7))
    support = np.linspace(-2, 2, 5)
    order = rng.permutation(7)
    once = categorical_projection(*float32(atoms, probs, support))
    assert_close(once, projection_loop(atoms, probs, support))
    assert_close(categorical_projection(*float32(atoms[:, order], probs[:, order], support)), once, atol=1e-6)


def test_two_atoms_are_enough_and_one_is_not():
    atoms, probs = float32([0.25, 3.0], [0.5, 0.5])
    assert_close(categorical_projection(atoms, probs, jnp.array([0.0, 1.0])), [0.375, 0.625])
    with pytest.raises(ValueError, match="a support needs at least 2 atoms; got 1"):
        categorical_projection(atoms, probs, jnp.array([0.0]))


def test_infinite_atoms_land_on_the_ends():
    atoms, probs, support = float32([-np.inf, np.inf, 0], [0.2, 0.3, 0.5], [-1, 0, 1])
    assert_close(categorical_projection(atoms, probs, support), [0.2, 0.5, 0.3], atol=1e-7)


def test_nan_stays_visible_unless_it_has_no_probability():
    atoms, probs, support = float32([np.nan, 0], [0.5, 0.5], [-1, 0, 1])
    assert np.isnan(categorical_projection(atoms, probs, support)).any()
    assert_close(categorical_projection(atoms, jnp.array([0.0, 1.0]), support), [0, 1, 0])
    assert np.isnan(categorical_projection(jnp.zeros(2), jnp.array([np.nan, 1.0]), support)).any()


@pytest.mark.parametrize("name", ["even", "uneven"])
def test_gradient_of_the_mean_is_the_probability_on_and_off_the_atoms(name):
    atoms, probs, support = _near(SUPPORTS[name])

    def mean(atoms, probs):
        return categorical_mean(categorical_projection(atoms, probs, support), jnp.asarray(support)).sum()

    by_atom, by_prob = jax.jit(jax.grad(mean, (0, 1)))(atoms, probs)
    inside = (atoms > support[0]) & (atoms < support[-1])
    assert_close(np.where(inside, by_atom, 0), np.where(inside, probs, 0), rtol=1e-4, atol=1e-6)
    outside = (atoms < support[0]) | (atoms > support[-1])
    assert (np.asarray(by_atom)[outside] == 0).all()
    # Atoms without probability have their gradient too.
    assert_close(by_prob, np.clip(atoms, support[0], support[-1]), rtol=1e-4, atol=1e-4)


def test_equal_atoms_stay_finite_under_a_trace():
    atoms, probs = float32([0.5, 1, 5], [0.25, 0.5, 0.25])
    for support in ([0, 1, 1, 2], [0, 1, 2, 2], [1, 1, 1, 1]):
        projected = project(atoms, probs, jnp.array(support, jnp.float32))
        assert_close(projected.sum(), 1)
    with pytest.raises(ValueError, match="strictly increasing"):
        categorical_projection(atoms, probs, jnp.array([0.0, 1.0, 1.0, 2.0]))


def test_each_example_may_have_its_own_support_by_vmap():
    supports = np.stack([np.linspace(-1, 1, 5), [-3, -1, 0.5, 1, 8], np.linspace(0, 4, 5)])
    rng = np.random.default_rng(4)
    atoms, probs = rng.normal(0, 2, (3, 6)), drawn_probs(rng, (3, 6))
    found = jax.jit(jax.vmap(categorical_projection))(*float32(atoms, probs, supports))
    expected = np.stack([projection_loop(*each) for each in zip(atoms, probs, supports, strict=True)])
    assert_close(found, expected)


def test_half_precision_adds_up_in_float32():
    support = jnp.linspace(-2, 2, 9).astype(jnp.bfloat16)
    probs = jnp.full((512,), 1 / 512, jnp.bfloat16)
    projected = project(jnp.full((512,), 0.25, jnp.bfloat16), probs, support)
    # In bfloat16 a running sum of 512 equal parts stops growing at 256 of them.
    assert_close(projected[4:6], [0.5, 0.5], rtol=1e-2)
    assert projected.dtype == jnp.bfloat16


def test_accelerators_are_given_no_scatter():
    args = float32(*_near(SUPPORTS["even"]))
    for platform in ("cuda", "tpu"):
        text = jax.jit(categorical_projection).trace(*args).lower(lowering_platforms=(platform,)).as_text()
        assert "stablehlo.scatter" not in text
    assert "stablehlo.scatter" in jax.jit(categorical_projection).lower(*args).as_text()


def test_both_ways_of_adding_up_agree():
    rng = np.random.default_rng(5)
    bins = jnp.asarray(rng.integers(0, 9, (2, 3, 40)), jnp.int32)
    x, y, weight = float32(*rng.normal(size=(2, 2, 3, 40)), rng.normal(size=(2, 2, 3, 9)))

    def both(add_up):
        def total(x, y):
            sums = jnp.stack(add_up(9, bins, x, y))
            return jnp.sum(weight * sums), sums

        return jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(x, y)

    expected = np.stack(
        [
            [np.bincount(i, row, 9) for i, row in zip(*rows, strict=True)]
            for rows in ((bins.reshape(6, 40), np.asarray(z).reshape(6, 40)) for z in (x, y))
        ]
    ).reshape(2, 2, 3, 9)
    assert_close(both(_select)[0][1], expected)
    for one, other in zip(jax.tree.leaves(both(_scatter)), jax.tree.leaves(both(_select)), strict=True):
        assert_close(one, other)


def test_wrong_shapes_are_refused():
    support = linear_support(0, 1, 3)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)categorical_projection.*probs"):
        categorical_projection(jnp.zeros(4), jnp.zeros(5), support)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)categorical_projection.*support"):
        categorical_projection(jnp.zeros((2, 4)), jnp.zeros((2, 4)), jnp.zeros((2, 3)))
