"""The suite under other settings of JAX. Slow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent


@pytest.mark.parametrize(
    ("setting", "folders"),
    [
        ("JAX_ENABLE_X64", ("core", "returns", "losses", "policies", "networks")),
        ("JAX_DEBUG_KEY_REUSE", ("algorithms", "training", "replay")),
    ],
)
def test_suite_passes_with(setting, folders):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *(str(TESTS / name) for name in folders),
    ]
    result = subprocess.run(command, env=os.environ | {setting: "1"}, capture_output=True, text=True, cwd=TESTS.parent)
    assert result.returncode == 0, result.stdout[-4000:]
