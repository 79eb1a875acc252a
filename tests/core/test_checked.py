import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int

from bellmax._core import RealScalarLike, checked, guard
from helpers import CountedTraces


@checked
def _scale(
    x: Float[Array, "*batch"], y: Float[Array, "*batch"], *, knob: RealScalarLike = 1.0
) -> Float[Array, "*batch"]:
    """Adds."""
    return x + y * knob


@checked
def _pick(x: Float[Array, "actions"], action: Int[Array, ""]) -> Float[Array, ""]:
    return x[action]


@checked
def _wrong_result(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x[:-1]


@checked
def _masked(x: Float[Array, "n"], mask: Bool[Array, "n"] | Float[Array, "n"]) -> Float[Array, "n"]:
    return x * mask.astype(x.dtype)


@checked
def _swept(x: Float[Array, "*batch"], knob: RealScalarLike | Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    return x * jnp.asarray(knob, x.dtype)


def test_keeps_name_and_documentation():
    assert _scale.__name__ == "_scale"
    assert _scale.__doc__ == "Adds."


def test_converts_numpy_arrays_python_numbers_and_integers():
    ones = np.ones(3)
    for x, y in [(ones, ones), (np.ones(3, np.int64), jnp.ones(3)), (jnp.ones(3, jnp.int32), ones)]:
        out = _scale(x, y, knob=2)
        assert isinstance(out, jax.Array)
        assert out.dtype == jnp.float32
        np.testing.assert_array_equal(out, np.full(3, 3.0))
    assert _scale(1, 2.5) == 3.5
    assert _scale(np.float64(1), np.int32(2)) == 3
    assert _pick(np.array([1.0, 2.0]), 1) == 2
    assert _pick(np.array([1.0, 2.0]), np.int64(1)) == 2


def test_converts_to_the_wide_type_in_x64():
    with jax.enable_x64(True):
        assert _scale(1, 2.5).dtype == jnp.float64
        assert _scale(np.arange(3), np.ones(3)).dtype == jnp.float64


def test_does_not_convert_what_is_probably_a_mistake():
    for wrong in ([1.0, 2.0], (1.0, 2.0), True, np.ones(2, bool), None, "x", 1j):
        with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)_scale.*x"):
            _scale(wrong, jnp.ones(2))
    for wrong in (1.0, np.float32(1), True, jnp.array(1.0)):
        with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)_pick.*action"):
            _pick(jnp.ones(2), wrong)


def test_names_function_argument_and_shapes():
    with pytest.raises(jaxtyping.TypeCheckError) as caught:
        _scale(jnp.ones((3, 1)), jnp.ones(3))
    assert isinstance(caught.value, TypeError)
    for word in ("_scale", "y", "*batch", "f32[3]"):
        assert word in str(caught.value)


def test_checks_the_result():
    with pytest.raises(jaxtyping.TypeCheckError, match="_wrong_result"):
        _wrong_result(jnp.ones(3))


def test_checks_once_a_trace():
    traced = CountedTraces(_scale)
    function = jax.jit(traced)
    for value in range(3):
        function(jnp.full(3, value), jnp.ones(3))
    assert traced.count == 1


def test_says_which_argument_is_missing_or_unknown():
    with pytest.raises(TypeError, match=r"_scale.*missing a required argument: 'y'"):
        _scale(jnp.ones(2))
    with pytest.raises(TypeError, match=r"_scale.*unexpected keyword argument 'nob'"):
        _scale(jnp.ones(2), jnp.ones(2), nob=1)


def test_takes_keywords_for_positions():
    assert _scale(y=1.0, x=2.0) == 3


def test_a_mask_may_be_booleans_numbers_or_numpy():
    for mask in (np.array([True, False]), jnp.array([1.0, 0.0]), np.array([1, 0])):
        np.testing.assert_array_equal(_masked(jnp.ones(2), mask), [1, 0])


def test_knobs_may_be_python_or_traced_numbers():
    ones = jnp.ones(2)
    for knob in (2, 2.0, np.float32(2), np.int64(2), jnp.array(2.0), jnp.array(2)):
        np.testing.assert_array_equal(_swept(ones, knob), [2, 2])
    np.testing.assert_array_equal(jax.vmap(_swept, (None, 0))(ones, jnp.arange(3.0))[:, 0], [0, 1, 2])


def test_an_integer_array_is_converted_where_a_knob_may_be_an_array():
    np.testing.assert_array_equal(_swept(jnp.ones(2), jnp.array([2, 3])), [2, 3])


def test_guard_passes_what_is_valid_unchanged():
    for value in (0.5, 1, np.float32(0.5), jnp.array([0.5, 1.0])):
        assert guard(value, lambda x: x > 0, "x must be positive") is value


def test_guard_refuses_a_known_value_and_shows_it():
    for value in (-1, 0.0, np.nan, np.array([1.0, -1.0]), jnp.array(-1.0)):
        with pytest.raises(ValueError, match="x must be positive; got"):
            guard(value, lambda x: x > 0, "x must be positive")


def test_guard_costs_and_does_nothing_under_a_transform():
    def function(x):
        return guard(x, lambda x: x > 0, "x must be positive") * 2

    assert jax.jit(function)(-1.0) == -2
    assert str(jax.make_jaxpr(function)(1.0)) == str(jax.make_jaxpr(lambda x: x * 2)(1.0))


@pytest.mark.parametrize("off", ["", "0"])
def test_guard_raises_under_a_transform_when_asked_for(off, monkeypatch):
    def function(x):
        return guard(x, lambda x: x > 0, "x must be positive") * 2

    monkeypatch.setenv("BELLMAX_GUARDS", "1")
    guarded = eqx.filter_jit(function)
    assert guarded(jnp.array(1.0)) == 2
    with pytest.raises(RuntimeError, match="x must be positive"):
        jax.block_until_ready(guarded(jnp.array(-1.0)))
    monkeypatch.setenv("BELLMAX_GUARDS", off)
    assert eqx.filter_jit(lambda x: function(x))(jnp.array(-1.0)) == -2


@checked(widen=True)
def _difference(
    x: Float[Array, "*batch"], y: Float[Array, "*batch"], scale: RealScalarLike | Float[Array, "*batch"] = 1.0
) -> Float[Array, "*batch"]:
    return jnp.asarray(scale, x.dtype) * ((x + y) - x)


def test_widening_computes_in_float32_and_gives_back_the_type():
    # In bfloat16 256 + 0.5 is 256.
    half = jnp.full(2, 256, jnp.bfloat16), jnp.full(2, 0.5, jnp.bfloat16)
    assert _difference(*half).dtype == jnp.bfloat16
    assert (_difference(*half) == 0.5).all()


@pytest.mark.parametrize(
    ("x", "y", "scale", "expected"),
    [
        (jnp.bfloat16, jnp.float32, 1.0, jnp.float32),
        (jnp.float16, jnp.bfloat16, 1.0, jnp.float32),
        (jnp.bfloat16, jnp.bfloat16, jnp.ones((), jnp.float32), jnp.bfloat16),
        (jnp.bfloat16, jnp.bfloat16, jnp.ones(2, jnp.float32), jnp.bfloat16),
    ],
)
def test_the_widest_array_decides_the_type_and_a_knob_does_not(x, y, scale, expected):
    with jax.numpy_dtype_promotion("strict"):
        assert _difference(jnp.ones(2, x), jnp.ones(2, y), scale).dtype == expected


def test_a_python_number_does_not_widen():
    assert _difference(jnp.ones((), jnp.bfloat16), 1.0).dtype == jnp.bfloat16
    with jax.enable_x64(True):
        assert _difference(jnp.ones((), jnp.float32), 1.0).dtype == jnp.float32
        assert _difference(jnp.ones((), jnp.float32), jnp.ones((), jnp.float64)).dtype == jnp.float64
