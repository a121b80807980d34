"""POSTPROCESS_LABELS on maps that are made here."""

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from cellbatch.errors import InputError, NeedsMoreMemory
from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.io.labels import read_labels
from cellbatch.phases.failures import Failures
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.loaded_model import HEAD_NAMES
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.postprocess_labels import postprocess_labels
from cellbatch.phases.promised_memory import whole_image_px
from cellbatch.postprocessing.blocks import BlockOptions
from cellbatch.progress import Progress
from cellbatch.spec import COMPARTMENTS, Batch, ImageSource, SampleSpec
from tests.labels_equal import assert_contiguous, assert_labels_equal

NAMES = (*COMPARTMENTS, "nuclear_matched")


def _maps(shape, seed):
    """Bumps of some px: an inner distance and an interior."""
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    bumps = ndimage.gaussian_filter(noise, 5)
    bumps /= bumps.std()
    return bumps, (bumps + 0.3).astype(np.float32)


def _sample(name, shape, mpp):
    return SampleSpec(name, (ImageSource("image", 1),), shape, mpp, "0", "1", ("a", "b"), "uint16")


def _write_heads(path, samples):
    with HandoffWriter(path) as heads:
        for name, shape in samples.items():
            for i, compartment in enumerate(COMPARTMENTS):
                for head, values in zip(HEAD_NAMES, _maps(shape, i), strict=True):
                    heads.write(name, f"{compartment}_{head}", values)


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """One image at the model's resolution, one that was coarser and one that was finer."""
    path = tmp_path_factory.mktemp("heads") / "b.heads.zip"
    _write_heads(path, {"same": (1100, 700), "coarse": (1100, 700), "fine": (400, 300)})
    batch = Batch(
        "b",
        (
            _sample("same", (1100, 700), 0.5),
            _sample("coarse", (275, 175), 2.0),
            _sample("fine", (1001, 750), 0.2),
        ),
    )
    return path, batch


def _run(heads, folder, **options):
    folder.mkdir()
    path, batch = heads
    output = LabelFiles(folder / "labels", folder / "b.labels.zip")
    timings = postprocess_labels(batch, path, find_model("demo"), output, **options)
    return output, timings


def test_block_by_block_and_in_memory_give_the_same_files(heads, tmp_path, monkeypatch):
    whole, _ = _run(heads, tmp_path / "whole")
    monkeypatch.setattr("cellbatch.phases.postprocess_labels.IN_MEMORY_PX", 1)
    for threads in (1, 2):
        blocks, timings = _run(heads, tmp_path / f"blocks{threads}", processes=threads)
        files = sorted(path.name for path in whole.folder.iterdir())
        assert files == sorted(f"{s}.{n}.ome.tif" for s in ("same", "coarse", "fine") for n in NAMES)
        for name in files:
            assert (blocks.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
        assert blocks.handoff.read_bytes() == whole.handoff.read_bytes()
        assert [row["sample"] for row in timings.rows()] == ["same", "coarse", "fine"]


def test_progress_ends_with_the_last_pixel(heads, tmp_path, monkeypatch):
    told: dict[str, list[int]] = {}

    class Watched(Progress):
        def __init__(self, what: str, total_px: int) -> None:
            super().__init__(what, total_px)
            self.told = told.setdefault(what, [total_px])

        def add(self, pixels: int) -> None:
            self.told.append(-pixels)

    monkeypatch.setattr("cellbatch.phases.postprocess_labels.IN_MEMORY_PX", 1)
    monkeypatch.setattr("cellbatch.phases.postprocess_labels.Progress", Watched)
    _run(heads, tmp_path / "out")
    assert {what: sum(pixels) for what, pixels in told.items()} == dict.fromkeys(
        ("label same", "label coarse", "label fine"), 0
    )


def test_the_handoff_holds_what_the_files_hold(heads, tmp_path):
    output, _ = _run(heads, tmp_path / "out")
    with HandoffReader(output.handoff) as handoff:
        for sample in ("same", "coarse", "fine"):
            labels = {name: handoff.read(sample, name) for name in NAMES}
            for name, values in labels.items():
                assert_labels_equal(read_labels(output.folder / f"{sample}.{name}.ome.tif"), values)
            for compartment in COMPARTMENTS:
                assert_contiguous(labels[compartment])
                assert labels[compartment].max() > 100
            table = handoff.read(sample, "nuclear_matching")
            assert (table.dtype, table.shape) == (np.uint32, (labels["nuclear"].max(), 3))
            assert_labels_equal(
                np.append(0, table[:, 1]).astype(np.uint32)[labels["nuclear"]], labels["nuclear_matched"]
            )
            for nucleus, cell, overlap in table[table[:, 1] > 0][:20]:
                is_nucleus = labels["nuclear"] == nucleus
                inside = np.count_nonzero(is_nucleus & (labels["whole_cell"] == cell))
                assert overlap == inside >= is_nucleus.sum() / 2
            attributes = handoff.attributes(sample)
            assert attributes["uncertified_blocks"] == {"whole_cell": 0, "nuclear": 0}
            counts = attributes["matching"]
            assert counts["nuclei"] == len(table)
            assert counts["orphan_nuclei"] == np.count_nonzero(table[:, 1] == 0)
            cells = sum(
                counts[f"cells_{kind}"] for kind in ("without_nucleus", "with_one_nucleus", "with_several_nuclei")
            )
            assert cells == counts["cells"] == labels["whole_cell"].max()


def test_one_compartment_has_no_matches(heads, tmp_path):
    output, _ = _run(heads, tmp_path / "out", compartment="nuclear")
    with HandoffReader(output.handoff) as handoff:
        assert handoff.names("same") == ("nuclear",)
        assert handoff.attributes("same") == {"uncertified_blocks": {"nuclear": 0}}


def test_label_files_may_be_left_out(heads, tmp_path):
    path, batch = heads
    output = LabelFiles(tmp_path / "labels", tmp_path / "b.labels.zip", is_tiff_wanted=False)
    postprocess_labels(batch, path, find_model("demo"), output)
    assert list(output.folder.iterdir()) == []
    with HandoffReader(output.handoff) as handoff:
        assert "nuclear_matched" in handoff.names("same")


@pytest.fixture
def tied(tmp_path, monkeypatch):
    """Maps that hang on ties without smoothing, of an image that counts as large; give a way to label them."""
    monkeypatch.setattr("cellbatch.phases.postprocess_labels.IN_MEMORY_PX", 1)
    path = tmp_path / "b.heads.zip"
    rng = np.random.default_rng(0)
    with HandoffWriter(path) as heads:
        for compartment in COMPARTMENTS:
            for head in HEAD_NAMES:
                heads.write("tied", f"{compartment}_{head}", rng.integers(0, 4, (300, 300)).astype(np.float32))
    batch, files = (
        Batch("b", (_sample("tied", (300, 300), 0.5),)),
        LabelFiles(tmp_path / "labels", tmp_path / "b.labels.zip"),
    )
    return partial(postprocess_labels, batch, path, find_model("demo"), files, overrides={"interior_smooth": 0})


def test_a_tie_over_a_large_image_names_sample_and_file(tied, tmp_path, monkeypatch):
    """Where an image may not be labelled at once however much memory there is."""
    limited = partial(BlockOptions, whole_image_px=1)
    monkeypatch.setattr("cellbatch.phases.postprocess_labels.whole_image_px", lambda *_: 1)
    monkeypatch.setattr("cellbatch.phases.promised_memory.BlockOptions", limited)
    with pytest.raises(InputError, match=r"sample tied: whole_cell maps in b.heads.zip: .*exact ties.*interior_smooth"):
        tied()
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["b.heads.zip"]


def test_a_tie_that_needs_more_memory_than_promised_repeats_the_task(tied, tmp_path, monkeypatch):
    monkeypatch.setattr("cellbatch.phases.promised_memory.WHOLE_BYTES_PER_PX", 1 << 20)
    tied()
    monkeypatch.setenv("NXF_TASK_WORKDIR", str(tmp_path / "task"))
    (tmp_path / "task").mkdir()
    monkeypatch.chdir(tmp_path)
    for failures in (None, Failures("postprocess")):
        with pytest.raises(NeedsMoreMemory, match=r"sample tied: .* tried again with more memory") as caught:
            tied(failures=failures)
        assert caught.value.exit_code == 75
    (tmp_path / "task" / ".attempt").write_text("4 75\n")
    with pytest.raises(InputError, match="exact ties"):
        tied()


def test_four_attempts_hold_the_largest_image_that_is_labelled_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("NXF_TASK_WORKDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shape = (8192, 8192)
    room = []
    for attempt in range(1, 5):
        (tmp_path / ".attempt").write_text(f"{attempt} 75\n")
        room.append(whole_image_px([_sample("a", shape, 0.5)], [8192 * 8192], 2))
    assert room == sorted(set(room))
    assert room[0] < room[-1] == BlockOptions().whole_image_px == 8192 * 8192
    (tmp_path / ".attempt").write_text("3 1\n")
    assert whole_image_px([_sample("a", shape, 0.5)], [8192 * 8192], 2) == room[0]


def test_images_narrower_than_a_chunk_are_handed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("cellbatch.phases.postprocess_labels.IN_MEMORY_PX", 1)
    monkeypatch.setattr("cellbatch.io.handoff_format.SINGLE_CHUNK_BYTES", 1)
    path, shapes = tmp_path / "b.heads.zip", {"tall": (1700, 90), "wide": (90, 1700)}
    _write_heads(path, shapes)
    output = LabelFiles(tmp_path / "labels", tmp_path / "b.labels.zip")
    batch = Batch("b", tuple(_sample(name, shape, 0.5) for name, shape in shapes.items()))
    postprocess_labels(batch, path, find_model("demo"), output)
    with HandoffReader(output.handoff) as handoff:
        for name in shapes:
            labels = handoff.read(name, "whole_cell")
            assert labels.max() > 30
            assert_labels_equal(tifffile.imread(output.folder / f"{name}.whole_cell.ome.tif"), labels)


def test_a_pyramid_is_written_from_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("cellbatch.phases.postprocess_labels.IN_MEMORY_PX", 1)
    monkeypatch.setattr("cellbatch.io.labels.PYRAMID_ABOVE", 1000)
    path = tmp_path / "b.heads.zip"
    _write_heads(path, {"tall": (2500, 100)})
    output = LabelFiles(tmp_path / "labels", tmp_path / "b.labels.zip")
    postprocess_labels(Batch("b", (_sample("tall", (2500, 100), 0.5),)), path, find_model("demo"), output)
    with tifffile.TiffFile(output.folder / "tall.nuclear_matched.ome.tif") as tif:
        levels = [level.asarray() for level in tif.series[0].levels]
    assert [level.shape for level in levels] == [(2500, 100), (1250, 50), (625, 25)]
    assert_labels_equal(levels[2], levels[0][::4, ::4])
    assert levels[0].max() > 50


def test_a_kill_leaves_no_half_written_file_with_a_final_name(heads, tmp_path):
    """Killed while labels are written, at two moments after the first file is there."""
    path, batch = heads
    whole, _ = _run(heads, tmp_path / "whole")
    record = tmp_path / "batch.json"
    record.write_text(json.dumps(batch.to_json()), encoding="utf-8")
    script = Path(__file__).resolve().parents[2] / "bin" / "postprocess_labels.py"
    for number, delay_s in enumerate((0.0, 0.1)):
        folder = tmp_path / f"killed{number}"
        folder.mkdir()
        command = [sys.executable, script, "--batch", record, "--heads", path, "--model", find_model("demo")]
        command += ["--outdir", folder / "labels", "--handoff", folder / "b.labels.zip", "--timings", folder / "t.csv"]
        task = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
        while task.poll() is None and not any((folder / "labels").glob("*")):
            time.sleep(0.002)
        time.sleep(delay_s)
        task.kill()
        task.wait()
        for file in (folder / "labels").glob("[!.]*"):
            assert file.read_bytes() == (whole.folder / file.name).read_bytes(), file.name
        if (folder / "b.labels.zip").exists():
            assert (folder / "b.labels.zip").read_bytes() == whole.handoff.read_bytes()
