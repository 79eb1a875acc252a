"""Checkpoints: what was saved comes back, and what is damaged is never taken for it."""

import contextlib
import json
import os
import pickle
import random
import resource
import shutil
import signal
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.experiment import UsageError
from bellmax.experiment import _manifest as manifests
from bellmax.experiment._arrays import by_name
from bellmax.experiment._checkpoint import Progress
from bellmax.experiment._checkpoints import Checkpoints
from bellmax.experiment._folder import RunFolder
from bellmax.experiment._manifest import write_manifest
from training import laws

# Where orbax fails to read, threads of its event loop may still answer when the loop is closed.
ORBAX_LEAVES_LOOPS = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
ONE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def tree_at(steps):
    """What a run could hold: every kind of leaf, and numbers that tell the step."""
    return {
        "state": {
            "weights": jnp.arange(24.0).reshape(2, 3, 4) + steps,
            "halves": jnp.full((2, 3), steps, jnp.bfloat16),
            "keys": jax.random.split(jax.random.key(steps), 2),
            "pictures": jnp.full((2, 64), steps % 256, jnp.uint8),
            "ended": jnp.array([True, False]),
            "count": jnp.array([steps, steps + 1], jnp.uint32),
            "none": jnp.zeros((2, 0)),
        }
    }


def rows_at(steps):
    return "".join(json.dumps({"step": step, "episode_return": step / 7}) + "\n" for step in range(0, steps, 10))


def target(sharding=ONE):
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), jax.eval_shape(tree_at, 0)
    )


def save(checkpoints, *steps, episode_return=None):
    for each in steps:
        checkpoints.save(tree_at(each), Progress(each // 10, each, each / 3, episode_return), rows_at(each))
        assert checkpoints.wait()


def names(checkpoints):
    return sorted(int(path.name) for path in checkpoints.path.iterdir())


def open_at(path, **settings):
    return Checkpoints(path / "checkpoints", "abc", **settings)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with checkpoints at 100 and 200 steps."""
    path = tmp_path_factory.mktemp("saved")
    save(open_at(path), 100, 200)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def load_and_check(path):
    """Loads the newest good checkpoint; asserts that it holds what was saved at its step. Returns the step."""
    checkpoint, _ = open_at(path).newest_good()
    steps = checkpoint.progress.steps
    assert steps in (100, 200)
    assert checkpoint.progress == Progress(steps // 10, steps, steps / 3, None)
    assert checkpoint.rows == rows_at(steps)
    laws.assert_equal(checkpoint.load(target()), tree_at(steps))
    return steps


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def mutate(path, chance):
    """Damages a folder of checkpoints in one of many ways; returns what was done."""
    one, other = chance.sample(files(path / "checkpoints"), 2)
    content = bytearray(one.read_bytes())
    kind = chance.choice(["truncate", "flip", "delete", "swap", "add", "zero", "repeat", "remove", "exchange"])
    if kind == "truncate":
        one.write_bytes(content[: chance.randrange(len(content) + 1)])
    elif kind == "flip" and content:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        one.write_bytes(content)
    elif kind == "delete":
        one.unlink()
    elif kind == "swap":
        there = other.read_bytes()
        other.write_bytes(content)
        one.write_bytes(there)
    elif kind == "add":
        (one.parent / f"{chance.choice(['', '.', 'x'])}{chance.randrange(10**6)}").write_bytes(content)
    elif kind == "zero" and content:
        first = chance.randrange(len(content))
        one.write_bytes(content[:first] + bytes(len(content) - first))
    elif kind == "repeat":
        one.write_bytes(content + content)
    elif kind == "remove":
        shutil.rmtree(one.parent)
    elif kind == "exchange":
        first, second = (path / "checkpoints" / f"{steps:012}" for steps in (100, 200))
        for source, to in ((first, path / "x"), (second, first), (path / "x", second)):
            source.rename(to)
    return f"{kind} {one.relative_to(path)} {other.relative_to(path)}"


def fuzz(saved, tmp_path, seeds):
    found = {"right": 0, "refused": 0}
    for seed in seeds:
        run = tmp_path / str(seed)
        shutil.copytree(saved, run)
        what = mutate(run, random.Random(seed))
        refusal = None
        try:
            load_and_check(run)
        except UsageError as error:
            refusal = str(error)
        except Exception as error:
            raise AssertionError(what) from error
        assert refusal is None or str(run) in refusal, what
        found["right" if refusal is None else "refused"] += 1
        shutil.rmtree(run)
    return found


def test_what_was_saved_comes_back(saved):
    assert load_and_check(saved) == 200


def test_nothing_wrong_is_taken_for_right_after_30_mutations(saved, tmp_path):
    assert fuzz(saved, tmp_path, range(30))["right"] > 10  # the older of the two is mostly whole


@pytest.mark.slow
def test_nothing_wrong_is_taken_for_right_after_1000_mutations(saved, tmp_path):
    fuzz(saved, tmp_path, range(1000, 2000))


def test_loader_that_compares_no_hashes_is_found(copy, monkeypatch):
    rows = copy / "checkpoints" / f"{200:012}" / "metrics.jsonl"
    rows.write_text(rows.read_text().replace("190", "191"))
    assert load_and_check(copy) == 100
    monkeypatch.setattr(manifests, "_compare", lambda *_: None)
    with pytest.raises(AssertionError):
        load_and_check(copy)


@ORBAX_LEAVES_LOOPS
@pytest.mark.slow
def test_reader_of_arrays_survives_what_hashes_cannot_see(saved, tmp_path):
    # Whoever can write the manifest can give other numbers, but nothing else.
    for seed in range(100):
        run = tmp_path / str(seed)
        shutil.copytree(saved, run)
        mutate(run, random.Random(seed))
        for folder in (run / "checkpoints").glob("*"):
            rehash(folder)
        try:
            checkpoint, _ = open_at(run).newest_good()
            laws.avals(checkpoint.load(target()))
        except UsageError:
            pass


def rehash(folder):
    """Makes a damaged checkpoint look whole."""
    try:
        content = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return
    write_manifest(folder, {name: content[name] for name in content.keys() - {"files", "sha256", "format"}})


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@ORBAX_LEAVES_LOOPS
def test_nothing_is_unpickled(copy, tmp_path):
    touched = tmp_path / "touched"
    content = pickle.dumps(Payload(touched))
    newest = copy / "checkpoints" / f"{200:012}"
    for file in [path for path in files(newest) if path.name != "manifest.json"]:
        before = file.read_bytes()
        file.write_bytes(content)
        rehash(newest)
        with contextlib.suppress(UsageError):
            open_at(copy).newest_good()[0].load(target())
        file.write_bytes(before)
    (newest / "manifest.json").write_bytes(content)
    assert load_and_check(copy) == 100
    assert not touched.exists()
    pickle.loads(content)
    assert touched.exists(), "the payload itself is no good"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: rewrite(path, format=2), "manifest.json has format 2, and this Bellmax reads formats up to 1"),
        (lambda path: rewrite(path, configuration="x"), "is of a run with another configuration than config.json"),
        (lambda path: (path / "metrics.jsonl").unlink(), "metrics.jsonl is missing"),
        (lambda path: (path / "note").write_text("x"), "note is not in the manifest: remove it"),
        (lambda path: (path / "link").symlink_to(path.parent), "link is not in the manifest: remove it"),
        (lambda path: (path / "manifest.json").write_text("[" * 10**6), "is no manifest of a checkpoint"),
        (lambda path: (path / "manifest.json").write_text("[]"), "is no manifest of a checkpoint"),
        (lambda path: rewrite(path, progress=None), "is no manifest of a checkpoint"),
        (lambda path: pipe(path / "metrics.jsonl"), "metrics.jsonl is not a file"),
        (lambda path: pipe(path / "manifest.json"), "manifest.json is not a file"),
        (lambda path: path.rename(path.with_name("000000000300")), "was renamed: it was saved at 200 steps"),
    ],
)
def test_damage_is_named_and_the_older_checkpoint_found(copy, damage, words):
    damage(copy / "checkpoints" / f"{200:012}")
    checkpoint, wrong = open_at(copy).newest_good()
    assert checkpoint.progress.steps == 100
    assert words in str(wrong[0])
    shutil.rmtree(checkpoint.path)
    with pytest.raises(UsageError, match="no other checkpoint of the run is good"):
        open_at(copy).newest_good()


def rewrite(path, **changes):
    content = json.loads((path / "manifest.json").read_text()) | changes
    del content["sha256"]
    (path / "manifest.json").write_text(json.dumps(content | {"sha256": manifests._digest(content)}))


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def test_what_does_not_fit_is_named(saved):
    checkpoint, _ = open_at(saved).newest_good()
    for change, words in [
        (lambda tree: tree["state"].pop("ended"), r"state.ended is \(2,\) bool, expected nothing"),
        (
            lambda tree: tree["state"].update(more=tree["state"]["ended"]),
            r"state.more is nothing, expected \(2,\) bool",
        ),
        (
            lambda tree: tree["state"].update(count=jax.ShapeDtypeStruct((2,), jnp.int32)),
            r"state.count is \(2,\) uint32, expected \(2,\) int32",
        ),
    ]:
        wanted = target()
        change(wanted)
        with pytest.raises(UsageError, match=words):
            checkpoint.load(wanted)


def test_part_of_a_checkpoint_loads_alone(saved):
    checkpoint, _ = open_at(saved).newest_good()
    part = {"state": {"keys": target()["state"]["keys"]}}
    laws.assert_equal(checkpoint.load(part, part=True), {"state": {"keys": tree_at(200)["state"]["keys"]}})


def test_other_versions_are_told(saved):
    checkpoint, _ = open_at(saved).newest_good()
    checkpoint.warn_of_versions()
    checkpoint.manifest["versions"]["jax"] = "0.0.1"
    with pytest.warns(UserWarning, match=r"was written with jax 0\.0\.1 \(now "):
        checkpoint.warn_of_versions()


def test_arrays_may_be_donated_while_they_are_written(tmp_path):
    overwrite = jax.jit(lambda x: -x, donate_argnums=0)
    expected = np.arange(1_000_000.0, dtype=np.float32)
    checkpoints, x = open_at(tmp_path), jnp.array(expected)
    checkpoints.save({"x": x}, Progress(1, 1), "")
    for _ in range(5):
        x = overwrite(x)
    jax.block_until_ready(x)
    assert checkpoints.wait()
    wanted = {"x": jax.ShapeDtypeStruct(expected.shape, expected.dtype)}
    np.testing.assert_array_equal(checkpoints.newest_good()[0].load(wanted)["x"], expected)


@pytest.mark.parametrize("way", ["4 to 1", "1 to 4", "4 to 2"])
def test_other_devices_load_it(tmp_path, way):
    def over(count):
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:count]), "devices")
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "devices"))

    before, after = (over(int(count)) for count in way.split(" to "))
    tree = {"local": jnp.arange(16.0).reshape(2, 8), "key": jax.random.split(jax.random.key(1), (2, 4))}
    checkpoints = open_at(tmp_path)
    checkpoints.save(jax.device_put(tree, before), Progress(1, 1), "")
    assert checkpoints.wait()
    wanted = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=after), tree)
    found = checkpoints.newest_good()[0].load(wanted)
    laws.assert_equal(found, tree)
    assert all(leaf.sharding.is_equivalent_to(after, leaf.ndim) for leaf in jax.tree.leaves(found))


def test_newest_and_best_are_kept(tmp_path):
    checkpoints = open_at(tmp_path, keep=2)
    for steps, episode_return in [(100, 1.0), (200, 5.0), (300, None), (400, 2.0), (500, 3.0)]:
        save(checkpoints, steps, episode_return=episode_return)
    assert names(checkpoints) == [200, 400, 500]
    save(checkpoints, 600, episode_return=5.0)
    assert names(checkpoints) == [500, 600]


def test_what_was_not_finished_does_not_count_and_goes_with_the_next(tmp_path):
    checkpoints = open_at(tmp_path)
    with pytest.raises(UsageError, match="holds no checkpoint"):
        checkpoints.newest_good()
    save(checkpoints, 100)
    torn = checkpoints.path / f"{200:012}"
    shutil.copytree(checkpoints.path / f"{100:012}", torn)
    (torn / "manifest.json").unlink()
    assert checkpoints.newest_good()[0].progress.steps == 100
    save(checkpoints, 300)
    assert names(checkpoints) == [100, 300]


def test_saving_over_what_was_left_is_whole(tmp_path):
    torn = tmp_path / "checkpoints" / f"{200:012}" / "state"
    torn.mkdir(parents=True)
    (torn / "rest").write_text("x")
    save(open_at(tmp_path), 200)
    assert load_and_check(tmp_path) == 200


def test_damaged_is_put_aside_when_the_run_goes_on(copy):
    (copy / "checkpoints" / f"{200:012}" / "metrics.jsonl").unlink()
    checkpoints = open_at(copy)
    checkpoints.go_on_from(checkpoints.newest_good()[0])
    save(checkpoints, 150)
    assert sorted(path.name for path in checkpoints.path.iterdir()) == [
        "000000000100",
        "000000000150",
        "000000000200.damaged",
    ]
    assert checkpoints.newest_good()[0].progress.steps == 150


@contextlib.contextmanager
def small_files(size):
    """No file may grow beyond some bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_full_disk_warns_once_and_leaves_the_last_good(tmp_path):
    checkpoints = open_at(tmp_path)
    save(checkpoints, 100)
    noise = {"x": jax.random.bits(jax.random.key(0), (100_000,))}
    with warnings.catch_warnings(record=True) as warned, small_files(50_000):
        warnings.simplefilter("always")
        for steps in (200, 300):
            checkpoints.save(noise, Progress(steps, steps), "")
            assert not checkpoints.wait()
    assert len(warned) == 1
    assert "a checkpoint could not be saved in" in str(warned[0].message)
    assert names(checkpoints) == [100]
    assert checkpoints.newest_good()[1] == []
    save(checkpoints, 400)
    assert checkpoints.newest_good()[0].progress.steps == 400


def test_folder_that_cannot_be_made_warns(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    checkpoints = open_at(tmp_path)
    with pytest.warns(UserWarning, match="could not be saved"):
        checkpoints.save(tree_at(1), Progress(1, 1), "")
    assert not checkpoints.wait()


def test_second_process_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.locked(), pytest.raises(UsageError, match="another process is writing"), folder.locked():
        pass
    with folder.locked():
        pass


def test_two_arrays_of_one_name_are_refused():
    with pytest.raises(ValueError, match="have one name"):
        by_name({"a.b": jnp.zeros(1), "a": {"b": jnp.zeros(1)}})
