# ruff: noqa: E402
"""What all tests share: four devices on the host, keys, and strictness for the folders that people import alone."""

import os
import zlib

# Before JAX starts: the host poses as four devices, which need more threads than a small machine has cores.
_platforms = os.environ.get("JAX_PLATFORMS", "")
_flags = os.environ.get("XLA_FLAGS", "")
_count = "--xla_force_host_platform_device_count"
if not any(name in _platforms for name in ("cuda", "gpu", "rocm")) and _count not in _flags:
    os.environ["XLA_FLAGS"] = f"{_flags} {_count}=4".strip()
os.environ["NPROC"] = "16"
os.environ["MPLBACKEND"] = "Agg"

import itertools
from pathlib import Path

import hypothesis
import jax
import pytest

pytest.register_assert_rewrite("helpers", "conformance", "faults", "cases")

hypothesis.settings.register_profile("bellmax", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("bellmax")

_STRICT = {"core", "returns", "transforms", "distributional", "exploration", "losses", "policies", "networks"}


def pytest_collection_modifyitems(items):
    """Keeps the laws of one function together, so that what they compile is compiled once."""
    laws = [item for item in items if item.path.name == "test_conformance.py"]
    others = [item for item in items if item.path.name != "test_conformance.py"]
    laws.sort(key=lambda item: str(item.callspec.params.get("name", "")) if hasattr(item, "callspec") else "")
    items[:] = laws + others


@pytest.fixture(autouse=True)
def strict_promotion(request):
    """Layers 0 to 2 may not rely on silent promotion of types or ranks."""
    folder = Path(request.node.path).relative_to(Path(__file__).parent).parts[0]
    if folder not in _STRICT:
        yield
        return
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def getkey(request):
    """Returns a function that gives a fresh key each time, the same ones in each run."""
    root = jax.random.key(zlib.crc32(request.node.nodeid.encode()))
    count = itertools.count()
    return lambda: jax.random.fold_in(root, next(count))
