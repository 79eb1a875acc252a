"""The notebooks run from scratch, say what they are saved to say, and check the shapes of their own functions."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[1] / "notebooks"
FIRST, *OTHERS = sorted(FOLDER.glob("*.ipynb"))

_spec = importlib.util.spec_from_file_location("bellmax_notebooks", FOLDER / "execute.py")
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)


def read(path):
    return nbformat.read(path, as_version=4)


# It compiles much and computes little.
FEW_OPTIMISATIONS = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}


def complaints(notebook):
    """Returns what cells wrote to the standard error: warnings, mostly."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]


def said(notebook):
    """Returns what each cell shows, but for numbers and spaces, which rounding may change."""
    return [[_shown(output) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]


def _shown(output):
    if "image/png" in output.get("data", {}):
        return "a picture"
    text = output.text if output.output_type == "stream" else output.data["text/plain"]
    return re.sub(r"\s+|[-+]?\d[\d.]*(e[-+]?\d+)?", "", text)


def assert_runs(client, saved):
    execute.run(client)
    assert complaints(client.nb) == []
    assert said(execute.trimmed(client.nb)) == said(saved)


@pytest.fixture(scope="module")
def first():
    """The kernel of the first notebook, in which it has run."""
    with execute.kernel(read(FIRST), **FEW_OPTIMISATIONS) as client:
        assert_runs(client, read(FIRST))
        yield client


def run_cell(client, source):
    """Executes one more cell in the kernel and returns a notebook of it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client.nb.cells.append(notebook.cells[0])
    client.execute_cell(notebook.cells[0], len(client.nb.cells) - 1)
    return notebook


def test_first_notebook_runs(first):
    assert len([cell for cell in first.nb.cells if cell.cell_type == "code"]) > 5


def test_a_shape_axis_that_is_deleted_fails_and_names_the_argument(first):
    (source,) = [cell.source for cell in first.nb.cells if '"batch actions"' in cell.source]
    run_cell(first, source)
    with pytest.raises(CellExecutionError, match=r"parameters of __main__\.act") as caught:
        run_cell(first, source.replace('"batch actions"', '" actions"'))
    message = str(caught.value)
    assert "parameter 'q'" in message
    assert "f32[1000,4]" in message
    assert "Float[jaxlib._jax.Array, 'actions']" in message


def test_a_warning_is_a_complaint(first):
    assert len(complaints(run_cell(first, "import warnings; warnings.warn('what a library may print')"))) == 1
    assert complaints(run_cell(first, "print('all is well')")) == []


def test_what_is_saved_is_compared():
    saved, changed = read(FIRST), read(FIRST)
    assert said(saved) == said(changed)
    (cell,) = [cell for cell in changed.cells if "np.bincount" in cell.source]
    cell.outputs[0].text = cell.outputs[0].text.replace("how often", "how seldom")
    assert said(saved) != said(changed)


@pytest.mark.parametrize("path", [FIRST, *OTHERS], ids=lambda path: path.stem)
def test_notebook_is_saved_whole_and_checks_its_shapes(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "%jaxtyping.typechecker beartype.beartype" in code[0].source
    assert complaints(notebook) == []
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert f"({path.name})" in (FOLDER / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    with execute.kernel(read(path)) as client:
        assert_runs(client, read(path))
