"""What the pages say runs."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import bellmax

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "notebooks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CORE = ("returns", "losses", "policies")


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def run_blocks(page: Path) -> None:
    names = {"__name__": page.stem}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


# They call many functions of the core once, and each call compiles programs of its own: the fast tier traces them.
TRACED = [ROOT / "docs" / "composing.md", ROOT / "docs" / "from_other_libraries.md"]
# It compiles a training step once a device.
SLOW = [*TRACED, ROOT / "docs" / "devices.md"]
# It trains agents, by commands.
GETTING_STARTED = ROOT / "docs" / "getting_started.md"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in SLOW else [], id=page.name)
        for page in PAGES
        if blocks(page) and page != GETTING_STARTED
    ],
)
def test_code_blocks_run_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(page)


@pytest.mark.parametrize("page", TRACED, ids=lambda page: page.name)
def test_code_blocks_are_traced(page):
    jax.eval_shape(lambda: run_blocks(page))


@pytest.mark.slow
def test_commands_and_code_of_the_first_page_run_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "XLA_FLAGS": "",
    }
    names = {"__name__": GETTING_STARTED.stem}
    found = re.findall(r"^```(bash|python)\n(.*?)^```", GETTING_STARTED.read_text(), re.MULTILINE | re.DOTALL)
    for language, block in found:
        if language == "python":
            exec(compile(block, str(GETTING_STARTED), "exec"), names)
        elif "pip install" not in block:
            subprocess.run(["bash", "-e", "-c", block], env=environment, check=True, timeout=600)
    assert {"runs", "sweeps"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (folder, name)
        for folder in CORE
        for name, value in vars(importlib.import_module(f"bellmax.{folder}")).items()
        if callable(value) and name.islower() and not name.startswith("_")
    ],
)
def test_functions_of_the_core_say_equation_arguments_example_and_source(folder, name):
    text = importlib.import_module(f"bellmax.{folder}").__dict__[name].__doc__ or ""
    sections = ["Args:", "Returns:", "Example:", "$$"]
    sections += [] if name == "masked_mean" else ["References:"]
    assert [section for section in sections if section not in text] == []


def test_readme_begins_with_the_two_commands():
    commands = re.findall(r"^```bash\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert commands[1].strip() in (ROOT / ".ci" / "run").read_text()
    assert commands[0].count("&&") == 2


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "benchmarks" / "README.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_no_figure_is_missing(page):
    assert "RESULT" not in page.read_text()


def test_version_is_the_same_everywhere():
    assert f'version = "{bellmax.__version__}"' in (ROOT / "pyproject.toml").read_text()
