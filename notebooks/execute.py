"""Executes notebooks from scratch and saves their outputs: `python notebooks/execute.py [NOTEBOOK...]`, all by default.

What differs from run to run without a reason (times, versions, numbers of cells) is not saved, so that a change of a
notebook shows as the change of its cells.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
_OURS = ("XLA_FLAGS", "NPROC", "MPLBACKEND", "JAX_NUM_CPU_DEVICES")
"""What tests set for their own process; a reader's kernel starts without."""


@contextmanager
def kernel(notebook: nbformat.NotebookNode, **variables: str) -> Iterator[NotebookClient]:
    """Opens a fresh kernel of the running interpreter, with some environment variables of its own."""
    specs = KernelSpecManager(kernel_dirs=[])  # none but ipykernel's own, which starts sys.executable
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs),
        resources={"metadata": {"path": str(FOLDER)}},
        timeout=600,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
    )
    env = {name: value for name, value in os.environ.items() if name not in _OURS} | variables
    with client.setup_kernel(env=env, cleanup_kc=True):
        yield client


def run(client: NotebookClient) -> None:
    """Executes every cell in order; nbclient's CellExecutionError carries the message of one that fails."""
    for index, cell in enumerate(client.nb.cells):
        if cell.cell_type == "code":
            cell.outputs = []
        client.execute_cell(cell, index)


def trimmed(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leaves out what changes without a reason, and joins what was printed in pieces."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        cell.metadata = {}
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
        cell.outputs = _trimmed(cell.outputs, count)
    return notebook


def _trimmed(outputs: list[nbformat.NotebookNode], count: int) -> list[nbformat.NotebookNode]:
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            if kept and kept[-1].get("name") == output.name:
                kept[-1].text += output.text
                continue
        else:
            output.metadata = {}
            if output.output_type == "execute_result":
                output.execution_count = count
            if "image/png" in output.data:
                del output.data["text/plain"]
        kept.append(output)
    return kept


def main() -> None:
    """Executes the named notebooks, or all."""
    for path in map(Path, sys.argv[1:] or sorted(map(str, FOLDER.glob("*.ipynb")))):
        notebook = nbformat.read(path, as_version=4)
        start = time.perf_counter()
        with kernel(notebook) as client:
            run(client)
        nbformat.write(trimmed(notebook), path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
