"""One set of laws over all public functions of layers 1 and 2, found by introspection."""

import importlib
import inspect

import jax
import pytest

import conformance as laws
from bellmax.losses import masked_mean
from cases import all_cases, all_exempt
from faults import plant

FOLDERS = ("returns", "transforms", "distributional", "exploration", "losses", "policies")
CASES = all_cases()
every = pytest.mark.parametrize("name", CASES)
# The first case of each function; its variants belong to the slow tier.
each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if ":" in name else name for name in CASES]
)
FAULTS = [(name, index) for name, case in CASES.items() for index in range(len(case.faults))]


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def public_functions():
    for folder in FOLDERS:
        module = importlib.import_module(f"bellmax.{folder}")
        for name, value in vars(module).items():
            if inspect.isfunction(value) and not name.startswith("_"):
                yield f"{folder}.{name}"


def test_every_public_function_has_a_case_or_a_reason():
    tested = {name.split(":")[0] for name in CASES} | set(all_exempt())
    public = set(public_functions())
    assert public - tested == set(), "without a case"
    assert tested - public == set(), "cases of nothing public"
    assert not {name.split(":")[0] for name in CASES} & set(all_exempt())


@pytest.mark.parametrize("name", sorted(set(public_functions())))
def test_docstring_says_equation_arguments_example_and_source(name):
    folder, _, function = name.partition(".")
    missing = laws.docstring_sections_missing(getattr(importlib.import_module(f"bellmax.{folder}"), function))
    assert missing == ([] if function != "masked_mean" else ["References:"])


@every
def test_equals_the_oracle(name):
    laws.law_equals_the_oracle(CASES[name], CASES[name].function)


@every
def test_gradients_flow_where_they_should(name):
    laws.law_gradients_flow_where_they_should(CASES[name], CASES[name].function)


@pytest.mark.slow
@every
def test_finite_at_the_edges(name):
    laws.law_finite_at_the_edges(CASES[name], CASES[name].function)


@pytest.mark.slow
@every
def test_batch_axes_equal_vmap_equal_a_loop(name):
    if not CASES[name].coupled:
        laws.law_batch_axes_equal_vmap_equal_a_loop(CASES[name], CASES[name].function)


@pytest.mark.slow
@every
def test_half_precision_is_rounded_at_the_end_only(name):
    laws.law_half_precision_is_rounded_at_the_end_only(CASES[name], CASES[name].function)


@pytest.mark.slow
@every
def test_float64_is_float64_with_the_gradient_of_finite_differences(name):
    laws.law_float64_is_float64_with_the_gradient_of_finite_differences(CASES[name], CASES[name].function)


@pytest.mark.slow
@each
def test_eager_equals_jit_and_numpy_arrays_and_integers_are_converted(name):
    laws.law_eager_equals_jit_and_arguments_are_converted(CASES[name], CASES[name].function)


@each
def test_wrong_types_and_shapes_are_refused_by_name(name):
    laws.law_wrong_types_and_shapes_are_refused_by_name(CASES[name], CASES[name].function)


@every
def test_nan_is_seen_and_stays_with_its_example(name):
    laws.law_nan_is_seen_and_stays_with_its_example(CASES[name], CASES[name].function)


@pytest.mark.slow
@every
def test_knobs_may_be_traced_and_swept(name):
    laws.law_knobs_may_be_traced_and_swept(CASES[name], CASES[name].function)


@pytest.mark.parametrize("name", sorted(set(public_functions())))
def test_arguments_are_in_the_usual_order(name):
    folder, _, function = name.partition(".")
    parameters = [*inspect.signature(getattr(importlib.import_module(f"bellmax.{folder}"), function)).parameters]
    order = [
        rank
        for parameter in parameters
        for rank, words in enumerate((("action",), ("reward", "rewards"), ("discount", "discounts"), ("next_",)))
        if parameter in words or (words == ("next_",) and parameter.startswith("next_"))
    ]
    assert order == sorted(order), parameters


@pytest.mark.parametrize(
    "name",
    [
        name if case.coupled and ":" not in name else pytest.param(name, marks=pytest.mark.slow)
        for name, case in CASES.items()
        if name.startswith("losses.")
    ],
)
def test_devices_average_to_the_whole(name):
    laws.law_devices_average_to_the_whole(CASES[name], CASES[name].function, masked_mean)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "index"), FAULTS, ids=[f"{name}-{index}" for name, index in FAULTS])
def test_the_fault_is_seen(name, index):
    case = CASES[name]
    old, new = case.faults[index]
    faulty = plant(case.module or case.function.__module__, case.function.__name__, old, new)
    with pytest.raises(AssertionError):
        laws.every_law_that_sees_faults(case, faulty)
