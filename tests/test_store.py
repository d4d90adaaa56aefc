"""A model file is the old one or the new one, whole, or it is refused."""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nobody import as_nobody
from stepahead import store
from stepahead.errors import ConfigError, ModelFileError

TENSORS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4) / 7,
    "scale": np.array(1 / 3),
    "steps": np.array([-1, 2**62], dtype=np.int64),
    "nothing": np.empty((0, 5), dtype=np.float32),
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
    "flag": np.array([True, False]),
}
CONFIG = {
    "kind": "symbols",
    "cell": "gru",
    "vocabulary": ["h", "é", "\ud800", "日", '"sha256":"'],
    "rate": 0.1,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    store.save(file, TENSORS, CONFIG)
    return file


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        store.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_round_trip_gives_the_same_bits_and_the_same_configuration(path: Path) -> None:
    tensors, config = store.load(path)
    assert config == CONFIG
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype, name
        assert tensors[name].shape == array.shape, name
        assert tensors[name].tobytes() == array.tobytes(), name
        assert tensors[name].flags.writeable, name


def test_safetensors_itself_reads_the_same_file(path: Path) -> None:
    theirs = load_file(path)
    assert all(theirs[name].tobytes() == array.tobytes() for name, array in TENSORS.items())


def test_views_and_big_endian_arrays_are_saved_by_value(tmp_path: Path) -> None:
    base = np.arange(12.0).reshape(3, 4)
    views = {"transposed": base.T, "strided": base[::2, ::-1], "big": base.astype(">f8")}
    store.save(tmp_path / "m", views, {})
    tensors, _ = store.load(tmp_path / "m")
    assert all(np.array_equal(tensors[name], view) for name, view in views.items())


def test_the_same_model_makes_the_same_bytes(path: Path) -> None:
    before = path.read_bytes()
    store.save(path, dict(reversed(TENSORS.items())), CONFIG)
    assert path.read_bytes() == before


def test_a_thousand_flipped_bits_and_cuts_are_each_refused(path: Path) -> None:
    whole = path.read_bytes()
    rng = random.Random(0)
    for trial in range(1000):
        damaged = bytearray(whole)
        if trial % 2:
            place = rng.randrange(len(whole) * 8)
            damaged[place // 8] ^= 1 << place % 8
        else:
            place = rng.randrange(len(whole))
            del damaged[place:]
        path.write_bytes(damaged)
        assert refusal(path), f"trial {trial}: damage at {place} of {len(whole)} bytes"


def test_every_bit_of_the_checksum_itself_counts(path: Path) -> None:
    whole = path.read_bytes()
    start = whole.index(b'"sha256":"') + 10
    for place in range(start, start + 64):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(ModelFileError):
                store.load(path)


def test_bytes_added_at_the_end_are_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    assert "header says" in refusal(path)


def test_a_newer_format_is_refused_with_the_way_out(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"format":"1"', b'"format":"2"'))
    assert "newer" in refusal(path)
    assert "pip install -U stepahead" in refusal(path)


def test_another_programs_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"x": np.ones(3)}, tmp_path / "other", metadata={"format": "pt"})
    assert "another program" in refusal(tmp_path / "other")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x10", "not a safetensors file"),
        (b"unique_id,ds,y\n1,1,1\n", "not a safetensors file"),
        (b"\x80\x05cposix\nsystem\n(S'touch pwned'\ntR.", "not a safetensors file"),
        ((2**63).to_bytes(8, "little") + b"{}", "not a safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "not a safetensors file"),
        ((90_000).to_bytes(8, "little") + b"[" * 90_000, "not a safetensors file"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m").write_bytes(content)
    assert words in refusal(tmp_path / "m")


def test_an_absent_file_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "absent")
    assert "folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_huge_declared_size_costs_no_memory(tmp_path: Path) -> None:
    header = b'{"__metadata__":{"program":"stepahead","format":"1","config":"{}","sha256":"' + b"0" * 64 + b'"},'
    header += b'"w":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}'
    (tmp_path / "m").write_bytes(len(header).to_bytes(8, "little") + header)
    assert "header says" in refusal(tmp_path / "m")


@pytest.mark.parametrize("config", [{"f": object()}, {"rate": float("nan")}, {1j: 2}])
def test_a_configuration_that_json_cannot_hold_is_refused_before_writing(tmp_path: Path, config: dict) -> None:
    with pytest.raises(ConfigError, match="JSON"):
        store.save(tmp_path / "m", {}, config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.array([1j]), np.ones(2, np.float16)])
def test_a_dtype_that_the_file_cannot_hold_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="tensor 'w'"):
        store.save(tmp_path / "m", {"w": array}, {})
    assert not list(tmp_path.iterdir())


def test_saving_through_a_link_replaces_what_it_points_at(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "latest"
    link.symlink_to(tmp_path / "real" / "m")
    store.save(link, TENSORS, CONFIG)
    assert link.is_symlink()
    assert store.load(tmp_path / "real" / "m")[1] == CONFIG


def test_permissions_of_an_older_file_are_kept(path: Path) -> None:
    path.chmod(0o640)
    store.save(path, TENSORS, CONFIG)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    store.save(tmp_path / "m", {}, {})
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_absent_folder_and_a_folder_in_the_files_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist; create it first"):
        store.save(tmp_path / "no" / "m", {}, {})
    with pytest.raises(ModelFileError, match="is a folder"):
        store.save(tmp_path, {}, {})


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failing_disk_is_one_clear_error_and_leaves_the_old_model(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(store.os, call, full)
        with pytest.raises(ModelFileError, match=r"No space left on device\); choose a folder"):
            store.save(path, {"new": np.ones(9)}, {})
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_read_only_file_and_a_read_only_folder_are_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:  # tmp_path's parents are closed to others
        path = Path(folder) / "m"
        store.save(path, TENSORS, CONFIG)
        with as_nobody(path, path.parent):
            path.chmod(0o444)
            with pytest.raises(ModelFileError, match="is read-only; make it writable"):
                store.save(path, {}, {})
            path.chmod(0o644)
            path.parent.chmod(0o555)
            with pytest.raises(ModelFileError, match="Permission denied"):
                store.save(path, {}, {})
            path.chmod(0)
            assert "Permission denied" in refusal(path)
            path.parent.chmod(0o755)
            path.chmod(0o644)
        assert store.load(path)[1] == CONFIG


def test_a_save_removes_the_strays_of_the_dead_and_spares_those_of_the_living(path: Path) -> None:
    stray = path.parent / f".stepahead-save-{'0' * 16}.tmp"
    stray.write_bytes(b"half a model")
    stranger = path.parent / ".stepahead-save-mine.tmp"
    stranger.touch()
    file, living = store._create(path.parent)
    with file:
        store.save(path, TENSORS, CONFIG)
        assert living.exists()
        assert stranger.exists()
        assert not stray.exists()
    store.save(path, TENSORS, CONFIG)
    assert not living.exists()


SAVER = """
import sys, numpy as np
from stepahead import store
def save_forever(rounds=10**9):
    for _ in range(rounds):
        for name, size in {"a": 40_000, "b": 70_000}.items():
            store.save(sys.argv[1], {"w": np.full(size, ord(name), np.float32)}, {"name": name})
"""

# Forking spares each saver the start of an interpreter, so that 200 kills take seconds.
KILLER = """
import os, random, signal, time
rng = random.Random(0)
for kill in range(200):
    saver = os.fork()
    if saver == 0:
        save_forever()
    time.sleep(rng.uniform(0, 0.02))
    os.kill(saver, signal.SIGKILL)
    os.waitpid(saver, 0)
    if kill > 20 or os.path.exists(sys.argv[1]):
        tensors, config = store.load(sys.argv[1])
        assert (tensors["w"] == ord(config["name"])).all(), kill
"""


def test_a_model_killed_two_hundred_times_while_being_overwritten_always_loads(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", SAVER + KILLER, str(tmp_path / "m")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    store.save(tmp_path / "m", {}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_four_processes_saving_one_model_leave_one_whole_file(tmp_path: Path) -> None:
    code = SAVER + "save_forever(20)"
    savers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "m")]) for _ in range(4)]
    assert [saver.wait() for saver in savers] == [0, 0, 0, 0]
    tensors, config = store.load(tmp_path / "m")
    assert (tensors["w"] == ord(config["name"])).all()
    assert [file.name for file in tmp_path.iterdir()] == ["m"]
