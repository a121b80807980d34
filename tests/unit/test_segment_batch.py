"""All phases of a batch in one task: the same bytes as one phase after the other, whatever the sizes and faults."""

from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cellbatch.phases.postprocess_labels
import cellbatch.phases.preprocess_images
import cellbatch.phases.sample_work
from cellbatch.errors import EngineError, InputError
from cellbatch.io.model_sources import describe_source
from cellbatch.phases.cell_tables import TableOptions
from cellbatch.phases.failures import Failures
from cellbatch.phases.infer_tiles import infer_batch
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.measure_cells import MeasuredFiles, measure_batch
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.postprocess_labels import postprocess_labels
from cellbatch.phases.prepare_model import prepare_model
from cellbatch.phases.preprocess_images import preprocess_images
from cellbatch.phases.sample_work import SegmentFiles, SegmentOptions
from cellbatch.phases.samples import Workers, stream_samples
from cellbatch.phases.segment_batch import segment_batch
from cellbatch.planning.stages import share_out
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Batch, ImageSource, SampleSpec
from tests.drawn_cells import draw_cells

THRESHOLD = {"maxima_threshold_nuclear": 0.15}
TABLE = TableOptions("csv", "cellbatch", ("geojson",))
RESULTS = ("labels", "cells", "qc", "zarr", "shapes")


class Staged:
    """A batch with its files, and both ways of running it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.samples = folder, []
        prepare_model(describe_source(find_model("demo")), folder / "model")

    def add(self, name: str, image: np.ndarray, mpp: float = 0.5) -> None:
        position = len(self.samples) + 1
        path = self.folder / "images" / str(position) / "a.tif"
        path.parent.mkdir(parents=True)
        tifffile.imwrite(path, image, photometric="minisblack")
        source = (ImageSource("image", position),)
        self.samples.append(SampleSpec(name, source, image.shape[1:], mpp, "0", "1", ("a", "b"), "float32"))

    @property
    def batch(self) -> Batch:
        return Batch("b", tuple(self.samples))

    def measured(self, outdir: Path) -> MeasuredFiles:
        """Where results go; labels are those of the split run."""
        places = [outdir / name for name in ("cells", "qc")]
        return MeasuredFiles(
            self.folder / "images", outdir / "b.labels.zip", *places, TABLE, outdir / "zarr", shapes=outdir / "shapes"
        )

    def split(self, outdir: Path, failures: list[Failures] | tuple[None, None, None] = (None, None, None)) -> None:
        """One phase after the other."""
        outdir.mkdir()
        model, pixels, heads = self.folder / "model", outdir / "b.pixels.zip", outdir / "b.heads.zip"
        preprocess_images(self.batch, self.folder / "images", model, pixels, failures=failures[0])
        infer_batch(pixels, model, heads, InferenceOptions())
        labels = LabelFiles(outdir / "labels", outdir / "b.labels.zip")
        postprocess_labels(self.batch, heads, model, labels, overrides=THRESHOLD, failures=failures[1])
        measure_batch(self.batch, self.measured(outdir), outdir / "summary.parquet", failures=failures[2])

    def fused(self, outdir: Path, **settings: object) -> Timings:
        """All at once."""
        outdir.mkdir()
        files = SegmentFiles(
            self.folder / "model", outdir / "labels", self.measured(outdir), outdir / "summary.parquet", outdir
        )
        return segment_batch(self.batch, files, SegmentOptions(watershed=THRESHOLD), **settings)


@pytest.fixture
def staged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Staged(tmp_path)


def read_results(outdir: Path) -> dict[str, bytes]:
    """Bytes of every file that a run publishes, and of the summary."""
    files = [path for name in RESULTS for path in (outdir / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(outdir)): path.read_bytes() for path in [*files, outdir / "summary.parquet"]}


def assert_same_results(one: Path, other: Path, at_least: int) -> None:
    expected, found = read_results(one), read_results(other)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert len(expected) >= at_least


def add_images(staged: Staged) -> None:
    staged.add("a", draw_cells(1, (150, 210)))
    staged.add("c", draw_cells(2, (90, 300)), mpp=0.7)
    staged.add("b", np.zeros((2, 64, 64), np.float32))


def test_the_results_are_those_of_the_phases_one_after_the_other(staged, tmp_path):
    add_images(staged)
    staged.split(tmp_path / "split")
    timings = staged.fused(tmp_path / "fused", processes=2)
    assert_same_results(tmp_path / "split", tmp_path / "fused", at_least=3 * 7)
    rows = timings.rows()
    assert {(row["phase"], row["sample"]) for row in rows if row["sample"]} == {
        (phase, sample) for phase in ("preprocess", "infer", "postprocess", "measure") for sample in "abc"
    }
    assert [row["step"] for row in rows].count("load_model") == 1
    whole = next(row for row in rows if row["phase"] == "fused")
    assert whole["seconds"] >= max(row["seconds"] for row in rows if row["step"] == "network")
    assert not [path for path in (tmp_path / "fused").iterdir() if path.name.startswith("fused.")]


def test_streamed_images_give_the_same_bytes(staged, tmp_path, monkeypatch):
    add_images(staged)
    staged.split(tmp_path / "split")
    monkeypatch.setattr(cellbatch.phases.preprocess_images, "IN_MEMORY_PX", 0)
    monkeypatch.setattr(cellbatch.phases.postprocess_labels, "IN_MEMORY_PX", 0)
    staged.fused(tmp_path / "fused", processes=2)
    assert_same_results(tmp_path / "split", tmp_path / "fused", at_least=3 * 7)


@pytest.fixture
def in_threads(monkeypatch):
    """Workers of runs that keep going start at once; a workflow in tests/pipeline has real processes."""
    start = Workers.start
    monkeypatch.setattr(Workers, "start", lambda self: start(replace(self, is_process=False)))


def add_faulty(staged: Staged) -> None:
    staged.add("a", draw_cells(1, (100, 110)))
    holes = draw_cells(2, (64, 64)).astype(np.float32)
    holes[0, 3, 3] = np.nan
    staged.add("holes", holes)
    staged.add("c", draw_cells(3, (80, 70)))


@pytest.mark.usefixtures("in_threads")
def test_a_sample_that_goes_wrong_is_left_out_as_ever(staged, tmp_path):
    add_faulty(staged)
    staged.split(tmp_path / "split", [Failures("preprocess"), Failures("postprocess"), Failures("measure")])
    failures = Failures("segment")
    staged.fused(tmp_path / "fused", processes=2, failures=failures)
    assert_same_results(tmp_path / "split", tmp_path / "fused", at_least=2 * 7)
    assert [(one.sample, one.phase) for one in failures.found] == [("holes", "preprocess")]
    assert failures.found[0].reason.startswith("the image holds NaN or infinite pixels")


def test_without_keep_going_the_first_fault_stops(staged, tmp_path):
    add_faulty(staged)
    with pytest.raises(InputError, match="sample holes: the image holds NaN or infinite pixels"):
        staged.fused(tmp_path / "fused")
    assert not (tmp_path / "fused/summary.parquet").exists()


@pytest.mark.usefixtures("in_threads")
def test_nothing_but_reasons_is_left_of_a_batch_of_which_nothing_came_through(staged, tmp_path):
    staged.add("holes", np.full((2, 20, 20), np.nan, np.float32))
    failures = Failures("segment")
    timings = staged.fused(tmp_path / "fused", failures=failures)
    assert [one.sample for one in failures.found] == ["holes"]
    assert not (tmp_path / "fused/summary.parquet").exists()
    assert [row["step"] for row in timings.rows()].count("load_model") == 1


@pytest.mark.parametrize(("phase", "files"), [("postprocess", 0), ("measure", 3)])
@pytest.mark.usefixtures("in_threads")
def test_the_phase_behind_the_network_that_went_wrong_is_named(staged, tmp_path, monkeypatch, phase, files):
    """Labels of a sample stay when its measurement goes wrong, as they do with a process per phase."""
    staged.add("a", draw_cells(1, (60, 60)))
    staged.add("wrong", draw_cells(2, (60, 60)))
    function = {"postprocess": "postprocess_labels", "measure": "measure_sample"}[phase]
    work = getattr(cellbatch.phases.sample_work, function)

    def fail(first, *others, **named):
        names = {first.sample} if isinstance(first, SampleSpec) else {sample.sample for sample in first.samples}
        if "wrong" in names:
            # a phase names the sample itself; the measurement of one sample is named by who calls it
            raise InputError("sample wrong: no luck" if phase == "postprocess" else "no luck")
        return work(first, *others, **named)

    monkeypatch.setattr(cellbatch.phases.sample_work, function, fail)
    failures = Failures("segment")
    staged.fused(tmp_path / "fused", failures=failures)
    assert [(one.sample, one.phase, one.reason) for one in failures.found] == [("wrong", phase, "no luck")]
    assert len(list((tmp_path / "fused/labels").glob("wrong.*"))) == files
    assert not list((tmp_path / "fused/cells").glob("wrong.*"))
    assert list((tmp_path / "fused/cells").glob("a.*"))


def test_whatever_goes_wrong_in_a_measurement_names_its_sample(staged, tmp_path, monkeypatch):
    staged.add("a", draw_cells(1, (60, 60)))

    def fail(*_given, **_named):
        raise MemoryError

    monkeypatch.setattr(cellbatch.phases.sample_work, "measure_sample", fail)
    with pytest.raises(EngineError, match="sample a: out of memory; the task can be tried again with more"):
        staged.fused(tmp_path / "fused")


def spec(index: int, pixels: int = 1) -> SampleSpec:
    return SampleSpec(f"s{index}", (), (1, pixels), 0.5, "0", "", (), "uint8")


def test_a_stage_takes_no_more_than_there_is_room_for():
    taken: list[str] = []

    def samples():
        for index, pixels in enumerate([1, 1, 1, 100, 100, 1]):
            taken.append(f"s{index}")
            yield spec(index, pixels)

    ahead = []
    for sample, name in stream_samples(lambda one: one.sample, samples(), Workers(1, False, 3, 100)):
        assert sample.sample == name
        ahead.append(len(taken))
    assert ahead == [3, 4, 4, 4, 5, 6]


def test_a_worker_that_dies_stops_a_stage():
    """How a sample that kills its worker is tried alone is shown with real processes in test_keep_going."""

    def die(sample: SampleSpec) -> str:
        raise BrokenProcessPool

    with pytest.raises(EngineError, match="a worker process died while samples s0 … s1 were worked on"):
        list(stream_samples(die, map(spec, range(3)), Workers(1, False)))


def test_cores_are_shared_by_what_the_stages_take():
    many = [(512, 512)] * 100
    assert share_out(many, 2).finish == share_out(many, 2).prepare == 1
    assert (share_out(many, 16).prepare, share_out(many, 16).finish) == (2, 14)
    assert not share_out(many[:3], 16).is_process
    assert share_out([(30000, 30000)] * 2, 2).is_process
    assert share_out(many[:1], 2, is_guarded=True).is_process
