"""Imports only run down, and third parties stay where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "bellmax"
LAYERS = {
    "_core": 0,
    "returns": 1,
    "transforms": 1,
    "distributional": 1,
    "exploration": 1,
    "losses": 2,
    "networks": 2,
    "policies": 2,
    "envs": 2,
    "replay": 2,
    "algorithms": 3,
    "training": 4,
    "experiment": 5,
}
LEARNING = {"returns", "transforms", "distributional", "exploration", "losses", "networks", "policies", "algorithms"}
WORLD = {"envs", "replay"}
BASE = {"jax", "numpy", "equinox", "optax", "jaxtyping", "beartype"}
ALSO = {
    "_core": {"gymnasium"},
    "policies": {"distrax", "gymnasium"},
    "networks": {"gymnasium"},
    "envs": {"ale_py", "brax", "gymnasium", "gymnax", "jumanji", "mujoco_playground", "xminigrid"},
    "algorithms": {"gymnasium"},
    "experiment": {
        "docstring_parser",
        "gymnasium",
        "imageio",
        "imageio_ffmpeg",
        "matplotlib",
        "orbax",
        "PIL",
        "pyarrow",
        "rich",
        "shtab",
        "tensorboardX",
        "tyro",
        "wandb",
        "yaml",
    },
}
LAZY = {
    "ale_py",
    "brax",
    "docstring_parser",
    "gymnasium",
    "gymnax",
    "imageio",
    "imageio_ffmpeg",
    "jumanji",
    "matplotlib",
    "mujoco_playground",
    "orbax",
    "PIL",
    "pyarrow",
    "rich",
    "shtab",
    "tensorboardX",
    "tyro",
    "wandb",
    "xminigrid",
    "yaml",
}
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def folder_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


def imports(path: Path):
    """Yields (module, whether it is imported when the file is): own folders as `bellmax.<folder>`."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    depth = len(path.relative_to(SOURCE).parts) - 1
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or "", id(node) in top
        elif isinstance(node, ast.ImportFrom) and node.level == depth + 1:
            for name in [node.module] if node.module else [alias.name for alias in node.names]:
                yield f"bellmax.{name}", id(node) in top


def violations(path: Path) -> list[str]:
    here = folder_of(path)
    found = []
    for module, at_once in imports(path):
        root, *rest = module.split(".")
        if root == "bellmax":
            there = rest[0] if rest else ""
            if there in LAYERS and there != here and LAYERS[there] >= LAYERS[here]:
                found.append(f"{path.name}: {here} imports {there}, which is not below it")
            if (here in LEARNING and there in WORLD) or (here in WORLD and there in LEARNING):
                found.append(f"{path.name}: {here} and {there} belong to pillars that do not touch")
        elif root not in sys.stdlib_module_names:
            if root not in BASE | ALSO.get(here, set()):
                found.append(f"{path.name}: {here} may not import {root}")
            if root in LAZY and at_once:
                found.append(f"{path.name}: {root} must be imported where it is used, not with the file")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_down(path):
    assert not violations(path)


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("returns", "from ..losses import value_loss"),
        ("losses", "from ..policies import categorical"),
        ("losses", "import distrax"),
        ("algorithms", "from ..envs import make"),
        ("envs", "import gymnax"),
        ("training", "import matplotlib"),
    ],
)
def test_contract_sees_each_kind_of_violation(folder, line, tmp_path, monkeypatch):
    path = tmp_path / folder / "_planted.py"
    path.parent.mkdir()
    path.write_text(f"{line}\n")
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    assert violations(path)


def test_every_folder_has_a_layer():
    assert {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"} <= set(LAYERS)


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_importing_bellmax_loads_nothing_heavy():
    assert not loaded_by("import bellmax") & {"distrax", "tensorflow_probability", "gymnax", "gymnasium"}


def test_losses_and_returns_load_without_the_rest():
    loaded = loaded_by(
        "import bellmax.losses, bellmax.returns, bellmax.distributional, bellmax.transforms, bellmax.exploration"
    )
    assert not loaded & {"distrax", "tensorflow_probability", "gymnasium", "gymnax"}


def test_unknown_folder_is_an_attribute_error():
    import bellmax

    with pytest.raises(AttributeError, match="its folders are algorithms"):
        bellmax.lossses  # noqa: B018
