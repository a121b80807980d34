"""Headers are read by several threads where the format allows it; what is found does not depend on that."""

import logging
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cellbatch.phases import check_samples
from cellbatch.phases.check_samples import StagedFile, is_read_in_threads
from cellbatch.phases.check_samplesheet import CheckedSheet, check_samplesheet
from cellbatch.phases.settle_samples import Fallbacks
from cellbatch.phases.sources import open_source

FOLDERS, IMAGES = 3, 20
FALLBACKS = Fallbacks(image_mpp=0.5)


class Doors:
    """Counts who opens files at once; each opening takes a while and warns of its file's name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, wait_s: float) -> None:
        self.most = self._inside = 0
        self._lock, self._wait_s = threading.Lock(), wait_s
        monkeypatch.setattr(check_samples, "open_source", self)

    def __call__(self, images: Path, source, reading):  # type: ignore[no-untyped-def]
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        logging.getLogger("cellbatch.io.test").warning("looked at %s", source.member)
        time.sleep(self._wait_s)
        with self._lock:
            self._inside -= 1
        return open_source(images, source, reading)


def make_folders(root: Path, suffix: str) -> list[dict[str, object]]:
    """Stage folders of images, and give them as the launch would; one image of the first is damaged."""
    rows = []
    for number in range(1, FOLDERS + 1):
        folder = root / "images" / str(number) / f"plate_{number}"
        folder.mkdir(parents=True)
        for index in range(IMAGES):
            pixels = np.zeros((8 + index, 9), np.uint8)
            if suffix == ".tif":
                tifffile.imwrite(folder / f"field_{index:02}.tif", pixels)
            else:
                Image.fromarray(pixels).save(folder / f"field_{index:02}{suffix}")
        if number == 1:
            (folder / f"field_07{suffix}").write_bytes(b"not an image")
        entries = tuple((path.name, path.stat().st_size, 1) for path in sorted(folder.iterdir()))
        rows.append({"files": [asdict(StagedFile("image", folder.name, "staged", number, entries))]})
    lines = [f"s{number},plate_{number}" for number in range(1, FOLDERS + 1)]
    (root / "sheet.csv").write_text("\n".join(["sample,image", *lines, ""]))
    return rows


def check(root: Path, staged: list[dict[str, object]]) -> CheckedSheet:
    return check_samplesheet(root / "sheet.csv", staged, root / "images", FALLBACKS, keep_going=True)


def test_many_headers_are_read_at_once_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = make_folders(tmp_path, ".tif")
    doors = Doors(monkeypatch, 0.02)
    together = check(tmp_path, staged)
    assert doors.most > check_samples.HEADERS_AHEAD, "rows and the images of a row are not both looked at in threads"
    monkeypatch.setattr(check_samples, "is_read_in_threads", lambda file: False)
    monkeypatch.setattr("cellbatch.phases.check_samplesheet.is_read_in_threads", lambda file: False)
    alone = Doors(monkeypatch, 0.0)
    in_turn = check(tmp_path, staged)
    assert alone.most == 1
    assert together == in_turn
    samples = [sample.sample for row in together.rows for sample in row.samples]
    assert len(samples) == FOLDERS * IMAGES - 1
    assert samples == sorted(samples)
    assert [sample.shape[0] for sample in together.rows[1].samples] == [8 + index for index in range(IMAGES)]
    assert [left.sample for left in together.left_out] == ["s1_field_07"]


def test_a_remark_stays_with_the_sample_of_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = make_folders(tmp_path, ".tif")
    Doors(monkeypatch, 0.01)
    remarks = [pair for row in check(tmp_path, staged).rows for pair in row.remarks if "looked at" in pair[1]]
    assert len(remarks) == FOLDERS * IMAGES
    assert all(text.endswith(f"{sample.split('_', 1)[1]}.tif") for sample, text in remarks)


def test_pictures_are_opened_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = make_folders(tmp_path, ".png")
    doors = Doors(monkeypatch, 0.005)
    sheet = check(tmp_path, staged)
    assert doors.most == 1
    assert sum(len(row.samples) for row in sheet.rows) == FOLDERS * IMAGES - 1


@pytest.mark.parametrize(
    ("path", "entries", "expected"),
    [
        ("a.ome.tif", (), True),
        ("a.NPY", (), True),
        ("a.png", (), False),
        ("a.zip", (), False),
        ("a.czi", (), False),
        ("a.ome.zarr", (), False),
        ("a.ome.zarr", ("zarr.json", "0/zarr.json", "0/c/0/0"), False),
        ("folder", ("a.tif", "inner/b.tiff", "notes.txt"), True),
        ("folder", ("a.tif", "b.jpg"), False),
        ("folder", ("a.tif", "b.zarr/.zattrs"), False),
        ("folder", (), False),
    ],
)
def test_which_formats_are_opened_by_threads(path: str, entries: tuple[str, ...], expected: bool) -> None:
    file = StagedFile("image", path, "staged", 1, tuple((name, 1, 1) for name in entries))
    assert is_read_in_threads(file) is expected


def test_the_rows_of_a_long_sheet_are_shared_among_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = make_folders(tmp_path, ".tif")
    in_turn = check(tmp_path, staged)
    monkeypatch.setattr("cellbatch.phases.check_samplesheet.HEADERS_WORTH_A_PROCESS", 1)
    # what is looked at in this process cannot be seen here: every file would be opened in another
    monkeypatch.setattr(check_samples, "open_source", None)
    shared = check_samplesheet(
        tmp_path / "sheet.csv", staged, tmp_path / "images", FALLBACKS, keep_going=True, processes=2
    )
    assert shared == in_turn


def test_a_process_that_dies_leaves_its_rows_to_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = make_folders(tmp_path, ".tif")
    in_turn = check(tmp_path, staged)
    monkeypatch.setattr("cellbatch.phases.check_samplesheet.HEADERS_WORTH_A_PROCESS", 1)
    monkeypatch.setattr("cellbatch.phases.check_samplesheet.process_pool", DyingPool)
    shared = check_samplesheet(
        tmp_path / "sheet.csv", staged, tmp_path / "images", FALLBACKS, keep_going=True, processes=2
    )
    assert shared == in_turn


class DyingPool:
    """Gives the first part and then breaks."""

    def __init__(self, processes: int) -> None:
        self.processes = processes

    def __enter__(self) -> "DyingPool":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def map(self, function, parts):  # type: ignore[no-untyped-def]
        yield function(parts[0])
        raise BrokenProcessPool
