"""The phases one after the other, as the scripts call them, without Nextflow."""

import json
import resource
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from cellbatch import segment
from cellbatch.errors import ConfigError, InputError
from cellbatch.io.labels import read_labels
from cellbatch.io.model_sources import describe_source
from cellbatch.io.tables import read_table
from cellbatch.phases import results_layout
from cellbatch.phases.infer_tiles import infer_batch
from cellbatch.phases.label_files import LabelFiles
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.measure_cells import MeasuredFiles, measure_batch
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.plan_batches import check_parameters, plan_batches, write_plan
from cellbatch.phases.postprocess_labels import make_labels, postprocess_labels
from cellbatch.phases.prepare_model import prepare_model
from cellbatch.phases.preprocess_images import prepare_input, preprocess_images
from cellbatch.phases.samples import map_samples, read_batch
from cellbatch.phases.segment_image import segment_loaded
from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.numbering import close_gaps
from cellbatch.postprocessing.resize import CENTRE, CORNER, resize_labels
from cellbatch.preprocessing.statistics import equalize
from cellbatch.spec import Batch, SampleSpec, WatershedOptions, Window
from tests.drawn_cells import draw_cells
from tests.labels_equal import assert_contiguous, assert_labels_equal

MPP = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
SHAPE = (150, 210)
HEADER = "sample,image,nuclear_image,membrane_image,nuclear_channel,membrane_channel,image_mpp"


class Launch:
    """A samplesheet with its files, staged as Nextflow stages them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows, self.staged, self._count = folder, [HEADER], [], 0

    def write(self, name: str, seed: int, **metadata: object) -> str:
        """An OME-TIFF with channels DAPI and CD45."""
        channels = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}}
        tifffile.imwrite(
            self.folder / name, draw_cells(seed, SHAPE), photometric="minisblack", metadata={**channels, **metadata}
        )
        return name

    def add(self, row: str) -> None:
        """One row of the samplesheet; its files are staged when they exist."""
        self.rows.append(row)
        files = []
        for column, cell in zip(HEADER.split(",")[1:4], row.split(",")[1:4], strict=True):
            path = self.folder / cell
            if cell and path.exists():
                self._count += 1
                target = self.folder / "images" / str(self._count) / path.name
                target.parent.mkdir(parents=True)
                target.symlink_to(path)
                files.append({"column": column, "path": cell, "state": "staged", "position": self._count})
            elif cell:
                files.append({"column": column, "path": cell, "state": "missing"})
        self.staged.append({"files": files})

    def plan(self, **parameters: object) -> tuple[list[dict], dict]:
        sheet = self.folder / "samplesheet.csv"
        sheet.write_text("\n".join(self.rows) + "\n", encoding="utf-8")
        return plan_batches(sheet, self.staged, self.folder / "images", describe_source(find_model("demo")), parameters)


@pytest.fixture
def launch(tmp_path):
    return Launch(tmp_path)


def _run(launch: Launch, batch: Batch, outdir: Path, **options) -> None:
    """All phases of one batch into ``outdir``."""
    outdir.mkdir()
    model = outdir / "model"
    prepare_model(describe_source(find_model("demo")), model)
    images, pixels, heads = launch.folder / "images", outdir / "b.pixels.zip", outdir / "b.heads.zip"
    preprocess_images(batch, images, model, pixels)
    timings = infer_batch(pixels, model, heads, InferenceOptions())
    assert [row["step"] for row in timings.rows()].count("load_model") == 1
    output = LabelFiles(outdir / "labels", outdir / "b.labels.zip")
    postprocess_labels(batch, heads, model, output, **options)
    files = MeasuredFiles(images, output.handoff, outdir / "cells", outdir / "qc")
    measure_batch(batch, files, outdir / "summary.parquet")


def test_the_pipeline_writes_what_segment_returns(launch, tmp_path):
    launch.write("a.ome.tif", 1, **MPP)
    launch.write("b.ome.tif", 2)
    launch.add("a,a.ome.tif,,,DAPI,CD45,")
    launch.add('b,b.ome.tif,,,0,"max(DAPI,CD45)",0.7'.replace('"max(DAPI,CD45)"', "CD45"))
    batches, plan = launch.plan()
    assert (plan["samples"], plan["batches"], plan["tiles"]) == (2, 1, 3)
    _run(launch, Batch.from_json(batches[0]["record"]), tmp_path / "out")
    for sample, seed, mpp in (("a", 1, 0.5), ("b", 2, 0.7)):
        expected = segment(np.moveaxis(draw_cells(seed, SHAPE), 0, -1), image_mpp=mpp)
        for compartment, labels in expected.items():
            written = read_labels(tmp_path / f"out/labels/{sample}.{compartment}.ome.tif")
            assert_labels_equal(written, labels)
        cells = read_table(tmp_path / f"out/cells/{sample}.cells.parquet")
        assert list(cells["label"]) == list(range(1, expected["whole_cell"].max() + 1))
        assert {"mean_DAPI", "mean_CD45"} <= set(cells.columns)
    summary = read_table(tmp_path / "out/summary.parquet")
    assert list(summary["sample"]) == ["a", "b"]


def test_files_per_channel_equal_one_file(launch, tmp_path):
    launch.write("both.ome.tif", 3, **MPP)
    for name, plane in zip(("nuc.tif", "mem.tif"), draw_cells(3, SHAPE), strict=True):
        tifffile.imwrite(tmp_path / name, plane)
    launch.add("one,both.ome.tif,,,DAPI,CD45,")
    launch.add("two,,nuc.tif,mem.tif,,,0.5")
    batches, _ = launch.plan()
    _run(launch, Batch.from_json(batches[0]["record"]), tmp_path / "out")
    one, two = (read_labels(tmp_path / f"out/labels/{sample}.whole_cell.ome.tif") for sample in ("one", "two"))
    assert_labels_equal(one, two)
    cells = read_table(tmp_path / "out/cells/two.cells.parquet")
    assert {"mean_nuclear", "mean_membrane"} <= set(cells.columns)


def test_a_higher_threshold_finds_no_more_nuclei(launch, tmp_path):
    launch.write("a.ome.tif", 1, **MPP)
    launch.add("a,a.ome.tif,,,DAPI,CD45,")
    batch = Batch.from_json(launch.plan()[0][0]["record"])
    _run(launch, batch, tmp_path / "low")
    _run(launch, batch, tmp_path / "high", overrides={"maxima_threshold_nuclear": 5.0})
    low, high = (read_labels(tmp_path / out / "labels/a.nuclear.ome.tif") for out in ("low", "high"))
    assert low.max() > 5
    assert high.max() == 0
    cells = (read_labels(tmp_path / out / "labels/a.whole_cell.ome.tif") for out in ("low", "high"))
    assert_labels_equal(*cells)


def test_a_folder_becomes_one_sample_per_image(launch, tmp_path):
    (tmp_path / "plate").mkdir()
    for i in range(3):
        launch.write(f"plate/field_{i}.ome.tif", i, **MPP)
    launch.add("plate,plate,,,0,1,")
    names = [f"field_{i}.ome.tif" for i in range(3)]
    launch.staged[0]["files"][0]["entries"] = [[name, 1, 1] for name in [*names, "scan.czi", ".DS_Store"]]
    batches, plan = launch.plan()
    assert plan["files_not_read"] == ["plate: scan.czi"]
    samples = [sample["sample"] for sample in batches[0]["record"]["samples"]]
    assert samples == ["plate_field_0", "plate_field_1", "plate_field_2"]
    assert plan["samples"] == 3
    assert batches[0]["rows"] == [0]


def test_the_record_holds_no_place_in_the_sheet(launch):
    """Otherwise a removed row would change the records behind it."""
    for name in ("a", "b", "c"):
        launch.write(f"{name}.ome.tif", 1, **MPP)
        launch.add(f"{name},{name}.ome.tif,,,0,1,")
    batches, _ = launch.plan(batch_pixels=1)
    assert len(batches) == 3
    assert [batch["record"]["samples"][0]["sources"][0]["position"] for batch in batches] == [1, 1, 1]


def test_lost_chunks_are_told_before_anything_is_read(launch, tmp_path):
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    image = draw_cells(1, SHAPE)
    for level, values in enumerate((image, image[:, ::2, ::2])):
        array = group.create_array(str(level), shape=values.shape, dtype=values.dtype, chunks=(1, 64, 64), fill_value=0)
        array[:] = values
    axes = [{"name": axis} for axis in "cyx"]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}, {"path": "1"}], "version": "0.4"}]
    launch.add("a,a.ome.zarr,,,0,1,0.5")
    assert launch.plan()[1]["samples"] == 1
    (path / "0" / "1.0.2").unlink()
    with pytest.raises(InputError, match=r"chunk of channel 1 at rows 0 to 64, columns 128 to 192 is not stored"):
        launch.plan()


def test_all_faults_are_told_at_once(launch, tmp_path):
    launch.write("good.ome.tif", 1, **MPP)
    launch.write("no_mpp.ome.tif", 1)
    tifffile.imwrite(tmp_path / "small.tif", draw_cells(1, SHAPE)[0][:20])
    whole = (tmp_path / "good.ome.tif").read_bytes()
    (tmp_path / "truncated.ome.tif").write_bytes(whole[: len(whole) // 2])
    launch.add("missing,missing.tif,,,0,1,")
    launch.add("near_miss,good.ome.tif,,,dapi_,CD45,")
    launch.add("no_mpp,no_mpp.ome.tif,,,DAPI,CD45,")
    launch.add("no_membrane,good.ome.tif,,,DAPI,,")
    launch.add("truncated,truncated.ome.tif,,,DAPI,CD45,")
    launch.add("shapes,,no_mpp.ome.tif,small.tif,DAPI,,0.5")
    launch.add("fine,good.ome.tif,,,DAPI,CD45,")
    with pytest.raises(InputError) as caught:
        launch.plan()
    title, *lines = str(caught.value).splitlines()
    assert title.endswith("6 faults in the samplesheet:")
    assert len(lines) == 6
    for line, sample, told in zip(
        lines,
        ["missing", "near_miss", "no_mpp", "no_membrane", "truncated", "shapes"],
        [
            "column image: no file 'missing.tif'",
            "column nuclear_channel: no channel 'dapi_'; did you mean 'DAPI'",
            "column image_mpp: the pixel size is not known",
            "column membrane_channel: which",
            "column image: truncated.ome.tif: the chain of pages leads to byte",
            "column membrane_image: the nuclear image is",
        ],
        strict=True,
    ):
        assert f"sample {sample}" in line
        assert told in line


def test_a_word_in_an_unknown_column_stays_out_of_the_segmentation(launch):
    launch.rows[0] += ",patient"
    launch.write("a.ome.tif", 1, **MPP)
    launch.add("a,a.ome.tif,,,0,1,,p7")
    (batch,), _ = launch.plan()
    assert batch["record"]["samples"][0]["columns"] == {}
    assert batch["measured"]["samples"][0]["columns"] == {"patient": "p7"}


def test_a_channel_of_a_file_that_is_not_named_is_an_error(launch):
    launch.write("a.ome.tif", 1, **MPP)
    launch.add("a,,a.ome.tif,,DAPI,CD45,")
    with pytest.raises(InputError, match="membrane_channel is 'CD45', but membrane_image is empty"):
        launch.plan()


def test_pixel_sizes_that_contradict_each_other_are_an_error(launch):
    launch.write("n.ome.tif", 1, **MPP)
    launch.write("m.ome.tif", 1, PhysicalSizeX=0.25, PhysicalSizeY=0.25)
    launch.add("a,,n.ome.tif,m.ome.tif,DAPI,CD45,")
    with pytest.raises(InputError, match=r"nuclear 0\.5 um/px, membrane 0\.25 um/px"):
        launch.plan()


def test_an_image_without_a_pixel_at_the_models_size_is_an_error(launch, tmp_path):
    tifffile.imwrite(tmp_path / "dot.tif", np.ones((1, 1), np.uint8))
    launch.add("a,dot.tif,,,,,0.1")
    with pytest.raises(InputError, match=r"sample a.*1x1 px at 0\.1 µm/px has no pixel left"):
        launch.plan()


def test_both_compartments_return_to_the_image_as_deepcell_does(tmp_path):
    image = draw_cells(4, SHAPE).transpose(1, 2, 0)
    loaded = LoadedModel(find_model("demo"), InferenceOptions())
    bins, statistics = prepare_input(image, 0.7, loaded.manifest, loaded.manifest.preprocessing)
    heads = loaded.infer(equalize(bins, statistics, Window(0, bins.shape[0], 0, bins.shape[1])))
    both = segment_loaded(image, 0.7, loaded)
    for name, maps in heads.items():
        watershed = asdict(loaded.manifest.compartments[name].watershed)
        labels = deep_watershed(maps["inner_distance"], maps["interior"], **watershed)
        for found, sampling in (
            (both[name], CENTRE),
            (segment_loaded(image, 0.7, loaded, name.replace("_", "-"))[name], CORNER),
        ):
            expected = resize_labels(labels, SHAPE, sampling)
            assert_labels_equal(found, np.asarray(close_gaps(expected)[:, :]))
        assert (both[name] != found).any()


def test_labels_have_no_gaps_where_the_image_is_coarser_than_the_model():
    heads = {"inner_distance": np.zeros((64, 64), np.float32), "interior": np.zeros((64, 64), np.float32)}
    for y in range(4, 64, 8):
        for x in range(4, 64, 8):
            heads["inner_distance"][y, x] = 1
            heads["interior"][y - 3 : y + 4, x - 3 : x + 4] = 1
    options = WatershedOptions(interior_smooth=0)
    assert make_labels(heads, options, (64, 64)).max() == 64
    labels = make_labels(heads, options, (5, 5))
    assert_contiguous(labels)
    assert 10 < labels.max() < 26


def test_a_parameter_stands_in_for_an_empty_cell(launch):
    launch.write("a.ome.tif", 1)
    launch.add("a,a.ome.tif,,,,,")
    batches, _ = launch.plan(image_mpp=0.25, nuclear_channel="CD45", membrane_channel="none")
    sample = batches[0]["record"]["samples"][0]
    assert (sample["image_mpp"], sample["nuclear"], sample["membrane"]) == (0.25, "1", "")


def test_metadata_goes_before_the_parameter_and_the_column_before_both(launch):
    launch.write("a.ome.tif", 1, **MPP)
    launch.add("a,a.ome.tif,,,0,1,")
    launch.add("b,a.ome.tif,,,0,1,0.65")
    samples = launch.plan(image_mpp=0.25)[0][0]["record"]["samples"]
    assert [sample["image_mpp"] for sample in samples] == [0.5, 0.65]


def test_parsers_that_disagree_stop_the_run(launch):
    launch.write("a.ome.tif", 1, **MPP)
    launch.add("a,a.ome.tif,,,0,1,")
    launch.staged.append({"files": []})
    with pytest.raises(InputError, match="1 rows, but 2 were staged"):
        launch.plan()


def test_auto_splits_where_a_fused_task_has_no_room(launch):
    launch.add(f"a,{launch.write('a.ome.tif', 1, **MPP)},,,DAPI,CD45,")
    (batch,), plan = launch.plan(phases="auto")
    assert plan["phases"]["choice"] == batch["meta"]["phases"] == "fused"
    (batch,), plan = launch.plan(phases="auto", memory_limit="256 MB")
    assert plan["phases"]["choice"] == batch["meta"]["phases"] == "split"
    assert "--phases auto; fused would need" in plan["phases"]["why"]
    assert "256 MB is all there is" in plan["phases"]["why"]
    assert set(batch["meta"]["memory"]) == {"preprocess", "infer", "postprocess", "measure"} == set(plan["memory_mb"])
    # who asks for fused gets it, and the check of the memory says what is wrong
    assert launch.plan(phases="fused", memory_limit="256 MB")[1]["phases"]["choice"] == "fused"


def test_the_plan_counts_the_files_that_the_layout_writes(launch, monkeypatch):
    name = launch.write("a.ome.tif", 1, **MPP)
    for sample in "abc":
        launch.add(f"{sample},{name},,,DAPI,CD45,")

    def hours(**parameters):
        return launch.plan(**parameters)[1]["estimates"][0]["hours"]

    by_sample, by_batch = hours(), hours(results_layout="batch")
    # five files per sample, four of the one batch, 200 per second
    assert (by_sample - by_batch) * 3600 == pytest.approx((5 * 3 - 4) / 200, rel=0.1)
    monkeypatch.setattr(results_layout, "MANY_SAMPLES", 2)
    assert hours() == by_batch
    assert hours(table_format="anndata") == hours(results_layout="sample") == by_sample


def test_the_engine_deepcell_is_fused_and_asks_for_its_memory(launch):
    launch.add(f"a,{launch.write('a.ome.tif', 1, **MPP)},,,DAPI,CD45,")
    (batch,), plan = launch.plan(engine="deepcell", deepcell_python="python")
    assert batch["meta"]["phases"] == "fused"
    assert plan["phases"]["why"] == "--engine deepcell does all of an image in one step"
    assert batch["meta"]["memory"]["fused"] > launch.plan(phases="fused")[0][0]["meta"]["memory"]["fused"] + 700
    with pytest.raises(ConfigError, match="needs --deepcell_python"):
        launch.plan(engine="deepcell")


def test_plan_files_are_for_machines_and_people(launch, tmp_path):
    launch.write("a.ome.tif", 1, **MPP)
    launch.add("a,a.ome.tif,,,0,1,")
    batches, plan = launch.plan()
    write_plan(batches, plan, tmp_path / "plan")
    (line,) = (tmp_path / "plan/batches.jsonl").read_text(encoding="utf-8").splitlines()
    written = json.loads(line)
    assert json.loads(written["measured"]) == json.loads(json.dumps(dict(batches[0]["measured"])))
    assert json.loads(written["record"]) == json.loads(json.dumps(dict(batches[0]["record"])))
    assert (written["meta"], written["rows"]) == (batches[0]["meta"], [0])
    assert json.loads((tmp_path / "plan/plan.json").read_text(encoding="utf-8"))["samples"] == 1
    assert "batches            1" in (tmp_path / "plan/plan.txt").read_text(encoding="utf-8")


def test_a_record_survives_its_file(launch, tmp_path):
    launch.write("a.ome.tif", 1, **MPP)
    launch.add("a,a.ome.tif,,,0,1,")
    record = launch.plan()[0][0]["record"]
    (tmp_path / "batch.json").write_text(json.dumps(dict(record)), encoding="utf-8")
    assert read_batch(tmp_path / "batch.json") == Batch.from_json(record)


def test_precision_of_a_parameter_is_told(project):
    schema = project / "nextflow_schema.json"
    with pytest.raises(ConfigError, match="maxima_threshold_nuclear"):
        check_parameters(schema, {"input": "a.csv", "outdir": "r", "maxima_treshold_nuclear": 1})
    with pytest.raises(ConfigError, match="interior_threshold"):
        check_parameters(schema, {"input": "a.csv", "outdir": "r", "interior_threshold": 7})
    assert check_parameters(schema, {"input": "a.csv", "outdir": "r", "radius": "3"})["radius"] == 3


def _fail_on_b(sample: SampleSpec) -> str:
    if sample.sample == "b":
        raise ValueError("something in the pixels")
    return sample.sample


def _samples(names: str) -> list[SampleSpec]:
    return [SampleSpec(name, (), (1, 1), 0.5, "0", "", (), "uint8") for name in names]


def test_a_fault_carries_its_sample():
    with pytest.raises(InputError, match="sample b: something in the pixels"):
        list(map_samples(_fail_on_b, _samples("abc")))


def test_processes_give_results_in_order():
    names = [chr(ord("c") + i) for i in range(20)]
    found = list(map_samples(_fail_on_b, _samples("".join(names)), processes=2))
    assert [(sample.sample, result) for sample, result in found] == [(name, name) for name in names]


def _burn(sample: SampleSpec) -> None:
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass


def test_processor_time_of_workers_is_that_of_the_task():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(list(map_samples(_burn, _samples("abcdefghijklmnopqrst"), processes=2))) == 20
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime > 20 * 0.05
