"""The laws that every public function of layers 1 and 2 obeys, over a `Case`.

A law takes the function under test, so that it can be run on a faulty copy of it.
"""

import copy
import dataclasses
import inspect
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from cases import Case
from helpers import assert_close

BATCH = (2, 3)
_COMPILED = {}


def as_arrays(drawn, dtype=jnp.float32):
    """Makes JAX arrays of what a case draws; only floats take the type."""

    def convert(x):
        x = np.asarray(x)
        if np.issubdtype(x.dtype, np.floating):
            return jnp.asarray(x, dtype)
        return jnp.asarray(x, jnp.int32 if np.issubdtype(x.dtype, np.integer) else None)

    return {name: jax.tree.map(convert, value) for name, value in drawn.items()}


def draw(case: Case, batch=BATCH, seed=0):
    """Draws arguments, the same for the same seed."""
    return case.draw(np.random.default_rng(seed), batch)


def caller(case: Case, function):
    """Returns a function of the drawn arguments by name."""

    def call(arguments):
        own = {name: value for name, value in arguments.items() if name not in case.observed}
        result = function(**own, **case.static)
        if case.observe is not None:
            result = case.observe(result, **{name: arguments[name] for name in case.observed})
        return result

    return call


def compiled(case: Case, function):
    """Returns the compiled caller; the same one for all laws, so that each program is compiled once."""
    key = id(case), function
    if key not in _COMPILED:
        _COMPILED[key] = jax.jit(caller(case, function))
    return _COMPILED[key]


def numbers(result):
    """Leaves of a result that are floating-point arrays."""
    return [leaf for leaf in jax.tree.leaves(result) if jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)]


def total(call):
    """Turns a function into one that gives a number, with a different weight for every element."""

    def sum_of(arguments):
        sums = [
            jnp.sum(leaf * (1 + jnp.arange(leaf.size, dtype=leaf.dtype).reshape(leaf.shape) / 7))
            for leaf in numbers(call(arguments))
        ]
        return jnp.sum(jnp.stack([each.astype(jnp.result_type(*sums)) for each in sums]))

    return sum_of


def floats(arguments):
    """Names of the arguments that are floating-point arrays, or trees of them."""
    return [
        name
        for name, value in arguments.items()
        if all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(value))
    ]


def learned(case: Case, arguments):
    """Names of the float arguments through which a gradient flows."""
    return floats(arguments) if case.learns is None else list(case.learns)


def gradients(case: Case, function, arguments):
    """Gradients with respect to every float argument, by name."""
    names = floats(arguments)
    rest = {name: value for name, value in arguments.items() if name not in names}
    slope = jax.grad(lambda chosen, rest: total(caller(case, function))({**rest, **chosen}))
    return jax.jit(slope)({name: arguments[name] for name in names}, rest)


def law_equals_the_oracle(case: Case, function):
    for seed in range(2):
        drawn = draw(case, seed=seed)
        found = jax.tree.leaves(compiled(case, function)(as_arrays(drawn)))
        expected = case.oracle(**drawn, **case.static)
        expected = expected if isinstance(expected, list | tuple) else [expected]
        assert len(found) == len(expected), (len(found), len(expected))
        for one, other in zip(found, expected, strict=True):
            assert one.shape == np.shape(other), (one.shape, np.shape(other))
            assert_close(one, other, rtol=case.rtol, atol=case.rtol)


def law_gradients_flow_where_they_should(case: Case, function):
    arguments = as_arrays(draw(case))
    found = gradients(case, function, arguments)
    moving = learned(case, arguments)
    for name, gradient in found.items():
        flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])
        assert np.isfinite(flat).all(), name
        if name in moving:
            assert (flat != 0).any(), f"no gradient through {name}"
        else:
            assert (flat == 0).all(), f"a gradient through {name}, which is data"


def law_finite_at_the_edges(case: Case, function):
    call = compiled(case, function)
    slope = jax.jit(lambda arguments: gradients(case, function, arguments))
    for changes in case.edges:
        drawn = draw(case, case.edge_batch)
        for name, value in changes.items():
            old = np.asarray(drawn[name])
            drawn[name] = np.broadcast_to(np.asarray(value, old.dtype), old.shape)
        arguments = as_arrays(drawn)
        for leaf in numbers(call(arguments)):
            assert np.isfinite(leaf).all(), changes
        found = slope(arguments)
        for name in learned(case, arguments):
            for leaf in jax.tree.leaves(found[name]):
                assert np.isfinite(leaf).all(), (changes, name)


def axes_of(case: Case, arguments):
    """Batch axis of each argument."""
    return {name: case.axes.get(name, case.axis) for name in arguments}


def out_axis(case: Case):
    return case.axis if case.out is None else case.out


def law_batch_axes_equal_vmap_equal_a_loop(case: Case, function):
    call = caller(case, function)
    arguments = as_arrays(draw(case))
    native = compiled(case, function)(arguments)
    axes, out = axes_of(case, arguments), out_axis(case)
    inner = jax.vmap(call, (axes,), out)
    mapped = jax.jit(jax.vmap(inner, ({name: axis for name, axis in axes.items()},), out))(arguments)
    one = compiled(case, function)

    def take(i, j):
        def pick(name, leaf):
            return leaf if axes[name] is None else jnp.take(jnp.take(leaf, i, axis=axes[name]), j, axis=axes[name])

        return one(
            {name: jax.tree.map(lambda leaf, name=name: pick(name, leaf), arguments[name]) for name in arguments}
        )

    looped = [[jax.tree.leaves(take(i, j)) for j in range(BATCH[1])] for i in range(BATCH[0])]
    for k, (leaf, other) in enumerate(zip(jax.tree.leaves(native), jax.tree.leaves(mapped), strict=True)):
        assert leaf.shape == other.shape, (leaf.shape, other.shape)
        assert_close(other, leaf, rtol=2e-6, atol=2e-6)
        rows = np.stack([np.stack([np.asarray(looped[i][j][k], np.float64) for j in range(3)]) for i in range(2)])
        assert_close(np.moveaxis(rows, (0, 1), (out, out + 1)), leaf, rtol=2e-6, atol=2e-6)


def _expected(case: Case, drawn):
    with np.errstate(all="ignore"):
        expected = case.oracle(**drawn, **case.static)
    return expected if isinstance(expected, list | tuple) else [expected]


def law_half_precision_is_rounded_at_the_end_only(case: Case, function):
    """Type in is type out, and the value is that of the rounded arguments, rounded once more."""
    drawn = draw(case)
    call = compiled(case, function)
    for dtype in (jnp.bfloat16, jnp.float16):
        arguments = as_arrays(drawn, dtype)
        rounded = jax.tree.map(
            lambda x: np.asarray(x, np.float64) if jnp.issubdtype(x.dtype, jnp.floating) else np.asarray(x), arguments
        )
        found = jax.tree.leaves(call(arguments))
        eps = float(jnp.finfo(dtype).eps)
        for leaf, expected in zip(found, _expected(case, rounded), strict=True):
            if jnp.issubdtype(leaf.dtype, jnp.floating):
                assert leaf.dtype == (jnp.float32 if case.wide else dtype), (dtype, leaf.dtype)
            rtol = 1e-4 if case.wide else eps
            assert_close(leaf, expected, rtol=max(rtol, case.rtol), atol=max(1e-4, case.rtol))


def law_float64_is_float64_with_the_gradient_of_finite_differences(case: Case, function):
    # Copied, since JAX remembers what it made of an array before.
    case = dataclasses.replace(case, static=copy.deepcopy(case.static))
    with jax.enable_x64(True):
        arguments = as_arrays(draw(case), jnp.float64)
        call = caller(case, function)
        found = jax.tree.leaves(jax.jit(call)(arguments))
        for leaf, expected in zip(found, _expected(case, draw(case)), strict=True):
            assert not jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.dtype == jnp.float64
            assert_close(leaf, expected, rtol=case.rtol64, atol=case.rtol64)
        names = learned(case, arguments)
        if not names or not case.smooth:
            return
        rest = {name: value for name, value in arguments.items() if name not in names}
        only = jax.jit(lambda chosen: total(call)({**rest, **chosen}))
        _gradient_equals_finite_differences(only, {name: arguments[name] for name in names})


def _gradient_equals_finite_differences(function, point, step=1e-6):
    """Along one random direction in all arguments at once, and along each argument by itself."""
    rng = np.random.default_rng(1)
    direction = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), point)
    slope = jax.jit(jax.grad(function))(point)
    zero = jax.tree.map(np.zeros_like, point)
    for way in [direction, *({**zero, name: direction[name]} for name in point)]:
        ahead, behind = (
            float(
                function(
                    jax.tree.map(
                        lambda leaf, by, sign=sign: np.asarray(leaf) + sign * step * np.asarray(by), point, way
                    )
                )
            )
            for sign in (1, -1)
        )
        parts = [
            np.sum(np.asarray(one) * np.asarray(by))
            for one, by in zip(*map(jax.tree.leaves, (slope, way)), strict=True)
        ]
        size = max(1.0, *(float(np.max(np.abs(leaf), initial=0)) for leaf in jax.tree.leaves(slope)))
        assert_close((ahead - behind) / (2 * step), sum(parts), rtol=1e-5, atol=1e-5 * size)


def law_eager_equals_jit_and_arguments_are_converted(case: Case, function):
    drawn = draw(case)
    call = compiled(case, function)
    expected = call(as_arrays(drawn))
    found = caller(case, function)({name: jax.tree.map(np.asarray, value) for name, value in drawn.items()})
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        assert_close(one, other, rtol=2e-6, atol=2e-6)
    own = [name for name in floats(as_arrays(drawn)) if name not in case.observed and np.ndim(drawn[name])]
    for name in [name for name in own if np.isfinite(drawn[name]).all()][:1]:
        whole = np.round(drawn[name])
        one = call({**as_arrays(drawn), name: jnp.asarray(whole, jnp.int32)})
        other = call({**as_arrays(drawn), name: jnp.asarray(whole, jnp.float32)})
        for leaf, expected in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            assert_close(leaf, expected, rtol=2e-6, atol=2e-6)


def law_wrong_types_and_shapes_are_refused_by_name(case: Case, function):
    call = caller(case, function)
    arguments = as_arrays(draw(case))
    own = {name: value for name, value in arguments.items() if name not in case.observed}
    title = function.__name__
    for name in [name for name in floats(own) if isinstance(own[name], jax.Array) and own[name].ndim]:
        for wrong in (arguments[name].tolist(), *([] if name == "mask" else [arguments[name] > 0])):
            with pytest.raises(jaxtyping.TypeCheckError, match=title):
                call({**arguments, name: wrong})
    with pytest.raises(TypeError, match=title):
        function(**own, **case.static, no_such_argument=1)
    axes = axes_of(case, own)
    shared = [
        name
        for name, value in own.items()
        if isinstance(value, jax.Array) and axes[name] is not None and name not in case.broadcasts
    ]
    if len(shared) < 2:
        return
    for name in shared:
        value, axis = own[name], axes[name]
        wrong = [value[..., None], jnp.take(value, jnp.array([0]), axis), jnp.take(value, jnp.array([0]), axis + 1)]
        if case.axis == 1 and axis == 1:
            wrong.append(value[:-1])
        for each in wrong:
            with pytest.raises((jaxtyping.TypeCheckError, ValueError), match=title):
                call({**arguments, name: each})


def law_nan_is_seen_and_stays_with_its_example(case: Case, function):
    """A NaN shows in its own example's result, unless what it is multiplied by is zero, and in no other's."""
    call = compiled(case, function)
    arguments = as_arrays(draw(case))
    axes, out = axes_of(case, arguments), out_axis(case)
    plain = [np.asarray(leaf) for leaf in jax.tree.leaves(call(arguments))]
    for name in floats(arguments):
        if axes[name] is None or name in case.hides:
            continue
        seen = False
        for place in np.ndindex(*BATCH):

            def poison(leaf, axis=axes[name], place=place):
                return leaf.at[(slice(None),) * axis + place].set(jnp.nan)

            poisoned = jax.tree.leaves(call({**arguments, name: jax.tree.map(poison, arguments[name])}))
            for leaf, before in zip(poisoned, plain, strict=True):
                leaf = np.asarray(leaf)
                if case.coupled:
                    seen |= bool(np.isnan(leaf).any())
                    continue
                rows, old = np.moveaxis(leaf, (out, out + 1), (0, 1)), np.moveaxis(before, (out, out + 1), (0, 1))
                seen |= bool(np.isnan(rows[place].astype(np.float64)).any())
                others = np.ones(BATCH, bool)
                others[place] = False
                np.testing.assert_array_equal(rows[others], old[others], err_msg=f"{name} of {place} reached others")
        assert seen, f"a NaN in {name} is never seen"


def law_knobs_may_be_traced_and_swept(case: Case, function):
    """Every knob can be an argument of a compiled function, one value an element under `vmap`."""
    parameters = inspect.signature(function).parameters.values()
    arguments = as_arrays(draw(case))
    own = {name: value for name, value in arguments.items() if name not in case.observed}
    knobs = {}
    for parameter in parameters:
        value = case.static.get(parameter.name, parameter.default)
        takes_numbers = any(member in (int, float) for member in getattr(parameter.annotation, "__args__", ()))
        if parameter.name not in own and takes_numbers and type(value) in (int, float):
            knobs[parameter.name] = value
    if not knobs:
        return

    def call(knobs):
        result = function(**own, **{**case.static, **knobs})
        if case.observe is not None:
            result = case.observe(result, **{name: arguments[name] for name in case.observed})
        return result

    others = {name: value * 0.75 for name, value in knobs.items()}
    stacked = {name: jnp.stack([jnp.float32(knobs[name]), jnp.float32(others[name])]) for name in knobs}
    swept = jax.jit(jax.vmap(call))(stacked)
    for index, expected in enumerate((compiled(case, function)(arguments), jax.jit(call)(others))):
        for leaf, other in zip(jax.tree.leaves(swept), jax.tree.leaves(expected), strict=True):
            assert_close(leaf[index], other, rtol=2e-5, atol=2e-5)


def docstring_sections_missing(function) -> list[str]:
    text = inspect.getdoc(function) or ""
    arguments = ("Args:",) if inspect.signature(function).parameters else ()
    return [section for section in (*arguments, "Returns:", "Example:", "$$", "References:") if section not in text]


def law_devices_average_to_the_whole(case: Case, function, masked_mean):
    """Under `pmap` on two devices the averaged gradient is that of the whole batch, mask and coupling included."""
    batch = (8,)
    arguments = as_arrays(draw(case, batch))
    mask = jnp.array([True, True, False, True, True, False, False, False])  # three on one device, one on the other
    axes, out = axes_of(case, arguments), out_axis(case)
    names = learned(case, arguments)
    knows_mask = "mask" in inspect.signature(function).parameters

    def loss(chosen, rest, mask, axis_name):
        static = dict(case.static)
        if case.coupled:
            static["axis_name"] = axis_name
        if knows_mask and "mask" not in arguments:
            static["mask"] = mask
        result = function(**chosen, **rest, **static)
        result = result if case.observe is None else case.observe(result)
        sums = 0.0
        for leaf in numbers(result):
            if leaf.ndim == 0:
                sums = sums + leaf
                continue
            rows = jnp.moveaxis(leaf, out, 0)
            rows = rows.reshape(rows.shape[0], -1).mean(axis=1)
            sums = sums + masked_mean(rows, mask, axis_name)
        return sums

    def split(name, leaf):
        if axes[name] is None:
            return jnp.stack([leaf, leaf])
        return jnp.stack(jnp.split(leaf, 2, axis=axes[name]))

    def parts(chosen):
        return {
            name: jax.tree.map(partial(split, name), arguments[name]) for name in arguments if (name in names) == chosen
        }

    # A shift of the prediction, the same for every example, plays the shared parameter.
    def of_shift(shift, data, rest, mask, axis_name):
        def move(by, leaf):
            return leaf + by * jnp.cos(leaf)

        moved = {name: jax.tree.map(partial(move, shift[name]), data[name]) for name in data}
        return loss(moved, rest, mask, axis_name)

    shift = {name: jnp.zeros(()) for name in names}
    whole = jax.jit(jax.grad(lambda *args: of_shift(*args, None)))(
        shift,
        {name: arguments[name] for name in names},
        {name: arguments[name] for name in arguments if name not in names},
        mask,
    )

    def on_a_device(data, rest, mask):
        return jax.lax.pmean(jax.grad(of_shift)(shift, data, rest, mask, "devices"), "devices")

    spread = jax.pmap(on_a_device, "devices", devices=jax.local_devices()[:2])(
        parts(True), parts(False), mask.reshape(2, 4)
    )
    for name in names:
        assert_close(spread[name][0], whole[name], rtol=2e-5, atol=2e-5)
        assert_close(spread[name][1], spread[name][0], rtol=0, atol=0)


def every_law_that_sees_faults(case: Case, function):
    law_equals_the_oracle(case, function)
    law_gradients_flow_where_they_should(case, function)
    law_finite_at_the_edges(case, function)
