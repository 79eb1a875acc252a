"""Several processes save one checkpoint together, and load it together or alone."""

import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.experiment._checkpoints import Checkpoints

CHILD = """
import sys
from pathlib import Path
import jax, numpy as np
address, index, folder = sys.argv[1:]
jax.distributed.initialize(address, 2, int(index))
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec as P
from bellmax.experiment._checkpoint import Progress
from bellmax.experiment._checkpoints import Checkpoints
mesh = jax.sharding.Mesh(np.array(jax.devices()), "devices")
numbers = np.arange(16, dtype=np.float32).reshape(2, 8)
def place(spec):
    sharding = NamedSharding(mesh, spec)
    return jax.make_array_from_callback(numbers.shape, sharding, lambda place: numbers[place])
tree = {"local": place(P(None, "devices")), "shared": place(P())}
checkpoints = Checkpoints(Path(folder) / "checkpoints", "abc")
for steps in (1, 2, 3):
    checkpoints.save(tree, Progress(steps, steps), "rows")
    assert checkpoints.wait()
multihost_utils.sync_global_devices("saved")
wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree)
checkpoint, wrong = checkpoints.newest_good()
assert checkpoint.progress.steps == 3 and not wrong
for leaf in jax.tree.leaves(checkpoint.load(wanted)):
    for shard in leaf.addressable_shards:
        np.testing.assert_array_equal(shard.data, numbers[shard.index])
multihost_utils.sync_global_devices("loaded")
print("as it was")
"""


@pytest.mark.slow
def test_two_processes_save_what_two_and_one_load(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    command = [sys.executable, "-c", CHILD, address]
    children = [
        subprocess.Popen(
            [*command, str(index), str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for index in range(2)
    ]
    try:
        for child in children:
            out, error = child.communicate(timeout=240)
            assert child.returncode == 0, error
            assert out.splitlines()[-1] == "as it was"  # gloo speaks first
    finally:
        for child in children:
            child.kill()
            child.wait()
    checkpoint, wrong = Checkpoints(tmp_path / "checkpoints", "abc").newest_good()
    assert not wrong
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [f"{2:012}", f"{3:012}"]
    wanted = {name: jax.ShapeDtypeStruct((2, 8), jnp.float32) for name in ("local", "shared")}
    for leaf in checkpoint.load(wanted).values():
        np.testing.assert_array_equal(leaf, np.arange(16.0).reshape(2, 8))
