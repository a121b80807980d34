"""What the system refuses ends with a message that names the file and the remedy, and leaves no half of anything."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from pyarrow import parquet

from cellbatch.cli import run
from cellbatch.errors import CellbatchError, explain_system_error
from cellbatch.io.atomic import atomic_path, write_bytes
from cellbatch.io.folders import ImageCollection
from cellbatch.io.handoff_reader import HandoffReader
from cellbatch.io.handoffs import HandoffWriter
from cellbatch.io.images import open_image
from cellbatch.io.labels import write_labels
from cellbatch.io.model_archives import unpack_archive
from cellbatch.io.model_sources import describe_source
from cellbatch.io.models import read_manifest
from cellbatch.io.samplesheet import Row, read_samplesheet
from cellbatch.io.tables import read_table
from cellbatch.phases.check_samples import StagedFile, check_row
from cellbatch.phases.failures import Failures
from cellbatch.phases.samples import map_here
from cellbatch.phases.settle_samples import Fallbacks
from cellbatch.spec import SampleSpec

ROOT = Path(__file__).resolve().parents[2]
CODES = {
    "ENOSPC": 75,
    "EDQUOT": 75,
    "EIO": 75,
    "ESTALE": 75,
    "EACCES": 64,
    "EPERM": 64,
    "EROFS": 64,
    "EFBIG": 64,
    "EMFILE": 64,
    "ENOENT": 65,
    "ENOTDIR": 65,
}


def fail(number: int, path: str = "folder/a.zip") -> None:
    raise OSError(number, os.strerror(number), path)


@pytest.mark.parametrize("name", CODES)
def test_a_refusal_has_its_exit_code_its_file_and_a_remedy(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = getattr(errno, name)
    assert run(lambda: fail(number)) == CODES[name]
    said = capsys.readouterr().err
    assert said.startswith("ERROR: folder/a.zip: ")
    assert os.strerror(number) in said
    assert "; " in said
    assert "Traceback" not in said


def test_what_nobody_can_mend_is_a_bug_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: fail(errno.EINVAL)) == 1
    assert "Traceback" in capsys.readouterr().err


def test_lack_of_memory_may_be_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(lambda: np.empty(2**60, np.uint8)) == 75
    assert "out of memory" in capsys.readouterr().err


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 2 kB, as with a quota; the tests' own log must not be written meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_handoff(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.write("a", "bins", np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8))


def write_notes(path: Path) -> None:
    with HandoffWriter(path) as handoff:
        handoff.write("a", "bins", np.zeros((2, 2), np.uint8), {"notes": ["note"] * 5000})


def write_many_labels(path: Path) -> None:
    write_labels(path, np.arange(90_000, dtype=np.uint32).reshape(300, 300), 0.5, "whole_cell", 1)


WRITERS = {
    "a.bin": lambda path: write_bytes(path, bytes(5000)),
    "a.pixels.zip": write_handoff,
    "notes.zip": write_notes,
    "a.whole_cell.ome.tif": write_many_labels,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_be_finished_is_not_there(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / name
    with small_files():
        code = run(lambda: WRITERS[name](target))
    assert code == 64
    said = capsys.readouterr().err
    assert f"ERROR: {target}: is beyond a limit" in said
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_hides_a_full_disk_is_seen_through(tmp_path: Path) -> None:
    text = "Unable to flush file's cached information (errno = 28, error message = 'No space left on device')"
    with pytest.raises(OSError, match="No space left") as found, atomic_path(tmp_path / "a.h5ad"):
        raise RuntimeError(text)
    assert (found.value.errno, found.value.filename) == (errno.ENOSPC, str(tmp_path / "a.h5ad"))


def test_a_sample_names_itself_and_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = SampleSpec("s1", (), (1, 1), 0.5, "0", "", (), "uint8")
    with pytest.raises(CellbatchError, match=r"sample s1: folder/a.zip: the disk is full"):
        list(map_here(lambda _: fail(errno.ENOSPC), [sample]))
    failures = Failures("preprocess")
    assert list(map_here(lambda _: fail(errno.ENOENT, "x.tif"), [sample], failures)) == []
    assert failures.found[0].reason.startswith("x.tif: is not there, or no longer")


def make_zarr(path: Path) -> Path:
    """An OME-Zarr 0.4 of 9 x 9 px."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=np.ones((9, 9), np.uint8))
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    open_image(path).close()
    return path


def test_a_disk_that_fails_is_not_told_as_damage_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((9, 9), np.uint8))
    monkeypatch.setattr("cellbatch.io.tiff_bytes.os.pread", lambda *_: fail(errno.EIO, None))
    with pytest.raises(OSError, match="Input/output") as found:
        open_image(path)
    assert str(explain_system_error(found.value)).startswith(f"{path}: the disk or the network failed")


@pytest.mark.parametrize("file", [".zattrs", ".zarray"])
def test_a_disk_that_fails_is_not_told_as_damage_of_an_ome_zarr(
    tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_zarr(tmp_path / "a.zarr")
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda at: fail(errno.ESTALE, None) if at.name == file else read(at))
    with pytest.raises(OSError, match="Stale") as found:
        open_image(path)
    assert str(explain_system_error(found.value)).startswith(f"{path}: the disk or the network failed")


@pytest.mark.parametrize("opening", ["open_group", "open_array"])
def test_lack_of_memory_is_not_told_as_damage_of_an_ome_zarr(
    tmp_path: Path, opening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_zarr(tmp_path / "a.zarr")

    def lack(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(zarr, opening, lack)
    with pytest.raises(MemoryError):
        open_image(path)


def read_npz(path: Path) -> None:
    np.savez(path, image=np.ones((9, 9), np.uint8))
    with open_image(path) as reader, failing(zipfile.ZipExtFile, "read"):
        reader.read(0)


def read_handoff(path: Path, owner: object, name: str) -> None:
    write_handoff(path)
    with failing(owner, name):
        HandoffReader(path).read("a", "bins")


def read_file(path: Path, read: Callable[[Path], object], owner: object, name: str) -> None:
    path.touch()
    with failing(owner, name):
        read(path)


@contextmanager
def failing(owner: object, name: str) -> Iterator[None]:
    """A disk that cannot be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, lambda *_, **__: fail(errno.EIO, None))
        yield


READERS: dict[str, Callable[[Path], object]] = {
    "a.npz": read_npz,
    "a.pixels.zip": lambda path: read_handoff(path, zipfile, "ZipFile"),
    "b.pixels.zip": lambda path: read_handoff(path, zipfile.ZipFile, "read"),
    "images.zip": lambda path: read_file(path, ImageCollection, zipfile, "ZipFile"),
    "a.cells.parquet": lambda path: read_file(path, read_table, parquet, "read_table"),
    "sheet.csv": lambda path: read_file(path, read_samplesheet, Path, "read_bytes"),
    "manifest.json": lambda path: read_file(path, lambda at: read_manifest(at.parent), Path, "read_text"),
    "M-1.tar.gz": lambda path: read_file(path, describe_source, tarfile, "open"),
    "N-1.tar.gz": lambda path: read_file(path, lambda at: unpack_archive(at, at.with_name("N")), tarfile, "open"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_disk_that_fails_may_be_tried_again_whatever_is_read(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    assert run(lambda: READERS[name](path)) == 75
    said = capsys.readouterr().err
    assert str(path) in said
    assert "the disk or the network failed (Input/output error)" in said


def test_a_disk_that_is_full_while_a_model_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "M-1.tar.gz"
    (tmp_path / "weights").write_bytes(b"x")
    with tarfile.open(archive, "w:gz") as entries:
        entries.add(tmp_path / "weights", "M/weights")
    monkeypatch.setattr("cellbatch.io.model_archives.shutil.copyfileobj", lambda *_: fail(errno.ENOSPC, None))
    with pytest.raises(OSError, match="No space left") as found:
        unpack_archive(archive, tmp_path / "model")
    assert str(explain_system_error(found.value)).startswith(f"{tmp_path / 'model'} (to unpack {archive}): the disk is")


def test_an_image_that_vanished_after_the_plan(tmp_path: Path) -> None:
    original, staged = tmp_path / "data.tif", tmp_path / "images" / "1" / "data.tif"
    tifffile.imwrite(original, np.ones((9, 9), np.uint8))
    staged.parent.mkdir(parents=True)
    staged.symlink_to(original)
    open_image(staged).close()
    original.unlink()
    with pytest.raises(CellbatchError, match=rf"{original} is not there any more; bring it back") as found:
        open_image(staged)
    assert found.value.exit_code == 65


def test_a_file_that_may_not_be_read_is_a_fault_of_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = tmp_path / "1" / "secret.tif"
    staged.parent.mkdir()
    tifffile.imwrite(staged, np.ones((9, 9), np.uint8))
    monkeypatch.setattr("cellbatch.io.images.Path.open", lambda *_, **__: fail(errno.EACCES, str(staged)))
    row = Row(4, sample="a", image="secret.tif")
    checked = check_row(row, [StagedFile("image", "secret.tif", "staged", 1)], tmp_path, Fallbacks())
    assert [str(fault) for fault in checked.faults] == [
        "row 4, sample a, column image: secret.tif: may not be read or written (Permission denied); "
        "correct the rights of the file and of its folder, or choose another place"
    ]


def isolated(folder: Path, command: list[str], options: str) -> subprocess.CompletedProcess[str]:
    """Run a command that sees a file system of its own in ``folder``."""
    words = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o {options} tmpfs "$0" && exec "$@"', str(folder)]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    return subprocess.run([*words, *command], capture_output=True, text=True)


@pytest.mark.parametrize(("options", "code", "text"), [("size=8k", 75, "the disk is full"), ("ro", 64, "Read-only")])
def test_a_script_on_a_full_or_read_only_disk(tmp_path: Path, options: str, code: int, text: str) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images" / "1").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "images" / "1" / "a.tif", rng.integers(0, 60000, (2, 300, 300), np.uint16))
    source = {"role": "image", "position": 1, "member": ""}
    sample = SampleSpec("a", (), (300, 300), 0.5, "0", "1", ("", ""), "uint16").to_json() | {"sources": [source]}
    (tmp_path / "batch.json").write_text(json.dumps({"batch": "b", "samples": [sample]}))
    (tmp_path / "out").mkdir()
    command = [sys.executable, str(ROOT / "bin" / "preprocess_images.py")]
    for name, value in {"batch": "batch.json", "images": "images", "output": "out/b.zip", "timings": "t.csv"}.items():
        command += [f"--{name}", str(tmp_path / value)]
    command += ["--model", str(ROOT / "assets" / "models" / "demo")]
    listed = ["sh", "-c", '"$@"; code=$?; ls -A "$0"; exit $code', str(tmp_path / "out")]
    ended = isolated(tmp_path / "out", [*listed, *command], options)
    assert ended.returncode == code, ended.stderr
    assert text in ended.stderr
    assert "b.zip" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert not (tmp_path / "t.csv").exists()
