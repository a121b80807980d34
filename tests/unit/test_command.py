"""The command ``cellbatch segment``."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cellbatch.commands.main import main
from cellbatch.io.labels import read_labels
from cellbatch.io.parameters import read_parameters
from cellbatch.phases.preview_grid import MPP_FACTORS, THRESHOLDS
from cellbatch.phases.preview_images import CAPTION_PX, CROP_PX, SHOWN_PX, choose_crops
from cellbatch.phases.segment_image import segment
from cellbatch.reporting.overlays import draw_overlay
from cellbatch.spec import SampleSpec
from tests.unit.test_io_model_sources import make_archive


@pytest.fixture(scope="module")
def tissue(project: Path) -> Path:
    return project / "assets/test/tissue_01.ome.tif"


def planes(tissue: Path) -> np.ndarray:
    import tifffile

    return tifffile.imread(tissue)


def run_segment(*arguments: object) -> int:
    return main(["segment", *map(str, arguments)])


@pytest.fixture(scope="module")
def results(tissue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outdir = tmp_path_factory.mktemp("command") / "out"
    code = run_segment(
        tissue, "--nuclear-channel", "0", "--membrane_channel", "1", "--image-mpp", "0.5", "--outdir", outdir,
        "--formats", "geojson,ome-zarr", "--table-format", "csv",
    )  # fmt: skip
    assert code == 0
    return outdir


def test_labels_are_those_of_the_function(results, tissue):
    image = np.moveaxis(planes(tissue)[:2], 0, -1)
    for compartment, labels in segment(image, image_mpp=0.5).items():
        np.testing.assert_array_equal(read_labels(results / f"labels/tissue_01.{compartment}.ome.tif"), labels)
        assert labels.max() > 5


def test_all_results_are_there(results):
    table = pd.read_csv(results / "cells/tissue_01.cells.csv")
    assert len(table) == read_labels(results / "labels/tissue_01.whole_cell.ome.tif").max()
    assert (results / "qc/tissue_01.overlay.png").exists()
    assert (results / "shapes/tissue_01.geojson").exists()
    assert (results / "zarr/tissue_01.ome.zarr/labels/whole_cell").is_dir()
    assert not list(results.glob(".*"))


def test_the_command_line_of_deepcell_applications(results, tissue, tmp_path, capsys):
    for name, plane in zip(("nuclear", "membrane"), planes(tissue), strict=False):
        np.save(tmp_path / f"{name}.npy", plane[None])
    arguments = ["--nuclear-image", tmp_path / "nuclear.npy", "--nuclear-channel", 0]
    arguments += ["--membrane-image", tmp_path / "membrane.npy", "--membrane-channel", 0, "--image-mpp", 0.5]
    arguments += ["--output-directory", tmp_path / "out", "--output-name", "mask.tif", "--compartment", "whole-cell"]
    assert run_segment(*arguments, "--batch-size", 2, "--squeeze") == 0
    expected = read_labels(results / "labels/tissue_01.whole_cell.ome.tif")
    np.testing.assert_array_equal(read_labels(tmp_path / "out/mask.tif"), expected)
    assert f"nuclear: {expected.max()} cells, " in capsys.readouterr().out
    # nuclei into the same folder: the labels of the cells lie there from before
    assert run_segment(*arguments[:-1], "nuclear", "--threads", 1) == 0
    nuclei = read_labels(results / "labels/tissue_01.nuclear.ome.tif")
    np.testing.assert_array_equal(read_labels(tmp_path / "out/mask.tif"), nuclei)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 64, "which image"),
        (["a.tif", "--nuclear-image", "b.tif"], 64, "which image"),
        (["a.tif", "--membrane-image", "b.tif"], 64, "goes with --nuclear-image"),
        (["absent.tif"], 65, "absent.tif: no such file"),
        (["TISSUE", "--image-mpp", "0.5", "--nuclear-channel", "Dapi", "--membrane-channel", "1"], 65, "Dapi"),
        (["TISSUE", "--model", "nowhere"], 64, "no model 'nowhere'"),
        (["TISSUE", "--columns", "excel"], 64, "--columns: found 'excel'"),
        (["TISSUE", "--sample", "a/b"], 64, "--sample: found 'a/b'"),
        (["mesmer", "--nuclear-image", "TISSUE", "--nuclear-channel", "0"], 64, "DEEPCELL_ACCESS_TOKEN is not set"),
    ],
)
def test_wrong_use_is_explained(arguments, code, message, tissue, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DEEPCELL_ACCESS_TOKEN", raising=False)
    words = [str(tissue) if word == "TISSUE" else word for word in arguments]
    assert run_segment(*words, "--outdir", tmp_path / "out") == code
    assert message in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def bare_network(project: Path, folder: Path) -> Path:
    """The demo network as a user's own file, with a manifest that knows no weights beside it."""
    record = json.loads((project / "assets/models/demo/manifest.json").read_text())
    del record["weights"]
    (folder / "net.manifest.json").write_text(json.dumps(record))
    return Path(shutil.copy(project / "assets/models/demo/model.onnx", folder / "net.onnx"))


def test_a_bare_network_is_prepared_once_and_kept(results, tissue, tmp_path, project):
    cache = tmp_path / "cache"
    arguments = [tissue, "--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5"]
    arguments += ["--model", bare_network(project, tmp_path), "--model-cache", cache]
    expected = read_labels(results / "labels/tissue_01.whole_cell.ome.tif")
    made = []
    for name in ("first", "second"):
        assert run_segment(*arguments, "--outdir", tmp_path / name) == 0
        found = read_labels(tmp_path / name / "labels/tissue_01.whole_cell.ome.tif")
        np.testing.assert_array_equal(found, expected)
        made.append({path: path.stat().st_mtime_ns for path in cache.rglob("*")})
    assert made[0] == made[1]
    # where the pipeline looks for them: a folder per model with the manifest beside it
    assert len(list(cache.glob("*/model/model.onnx"))) == len(list(cache.glob("*/manifest.json"))) == 1


def test_an_archive_is_unpacked_and_converted_or_refused(tissue, tmp_path, capsys):
    archive = make_archive(tmp_path / "own.tar.gz", {"MultiplexSegmentation/notes.txt": b"no graph"})
    arguments = [tissue, "--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5"]
    assert run_segment(*arguments, "--model", archive, "--outdir", tmp_path / "out") == 65
    assert "one SavedModel was expected inside, found 0" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_unknown_options_are_wrong_use(capsys):
    with pytest.raises(SystemExit) as caught:
        run_segment("a.tif", "--nuclear", "0")
    assert caught.value.code == 64
    assert "--nuclear" in capsys.readouterr().err


def test_a_preview_is_a_sheet_with_params_files(tissue, tmp_path, project):
    arguments = [tissue, "--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5", "--radius", "3"]
    assert main(["preview", *map(str, arguments), "--outdir", str(tmp_path)]) == 0
    sheet = np.asarray(Image.open(tmp_path / "tissue_01.preview.png"))
    cells = sheet.reshape(len(THRESHOLDS), -1, len(MPP_FACTORS), sheet.shape[1] // len(MPP_FACTORS), 3)
    pictures = {cells[row, :, column].tobytes() for row in range(cells.shape[0]) for column in range(cells.shape[2])}
    assert len(pictures) == len(THRESHOLDS) * len(MPP_FACTORS)
    files = sorted((tmp_path / "tissue_01.preview").iterdir())
    assert len(files) == len(pictures)
    schema = project / "nextflow_schema.json"
    for path in files:
        given = json.loads(path.read_text(encoding="utf-8"))
        assert given["radius"] == 3
        read_parameters(schema, {**given, "input": "sheet.csv"})
    first, second = (json.loads((tmp_path / f"tissue_01.preview/r{row}c1.json").read_text()) for row in (1, 2))
    assert {name: value for name, value in first.items() if name != "model"} == {
        "radius": 3, "compartment": "both", "nuclear_channel": "0", "membrane_channel": "1"
    }  # fmt: skip
    assert "maxima_threshold_nuclear" not in first
    assert 0 < second["maxima_threshold_nuclear"] < 0.2


def test_a_preview_tries_recipes_and_its_cell_segments_as_shown(tissue, tmp_path):
    arguments = [tissue, "--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5"]
    recipes = ["--preview-recipes", "1 | 0; none", "--outdir", tmp_path]
    assert main(["preview", *map(str, [*arguments, *recipes])]) == 0
    files = sorted((tmp_path / "tissue_01.preview").iterdir())
    assert len(files) == 3 * len(THRESHOLDS) * len(MPP_FACTORS)
    swapped, blank = (json.loads((tmp_path / f"tissue_01.preview/r{row}c2.json").read_text()) for row in (6, 11))
    assert (swapped["nuclear_channel"], swapped["membrane_channel"]) == ("1", "0")
    assert (blank["nuclear_channel"], blank["membrane_channel"]) == ("0", "none")
    assert swapped["model_mpp"] == pytest.approx(0.5 / 0.75, abs=1e-6)
    # the whole image is one crop here, so the parameters of a cell give the labels that it shows
    sheet = Image.open(tmp_path / "tissue_01.preview.png")
    wide, high = sheet.width // len(MPP_FACTORS), sheet.height // (3 * len(THRESHOLDS))
    shown = np.asarray(sheet.crop((wide, 5 * high + CAPTION_PX, wide + SHOWN_PX, 6 * high)))
    given = [text for name, value in swapped.items() for text in (f"--{name}", str(value))]
    assert run_segment(tissue, "--image-mpp", "0.5", *given, "--outdir", tmp_path / "out") == 0
    labels = [read_labels(tmp_path / f"out/labels/tissue_01.{name}.ome.tif") for name in ("whole_cell", "nuclear")]
    image = np.moveaxis(planes(tissue)[[1, 0]], 0, -1).astype(np.float32)
    picture = Image.fromarray(draw_overlay(image, *labels))
    picture.thumbnail((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.asarray(picture), shown)


@pytest.mark.parametrize("recipes", ["0 | 1 | 2", ";"])
def test_recipes_that_cannot_be_read_are_refused(recipes, tissue, tmp_path, capsys):
    arguments = [tissue, "--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5"]
    code = main(["preview", *map(str, arguments), "--preview-recipes", recipes, "--outdir", str(tmp_path)])
    assert code == 64
    assert "--preview_recipes: found" in capsys.readouterr().err


def test_model_mpp_changes_what_the_network_sees_and_not_what_is_measured(tissue, tmp_path):
    arguments = [tissue, "--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5"]
    assert run_segment(*arguments, "--model-mpp", "0.25", "--outdir", tmp_path / "fine") == 0
    assert run_segment(*arguments, "--outdir", tmp_path / "own") == 0
    fine, own = (pd.read_parquet(tmp_path / f"{name}/cells/tissue_01.cells.parquet") for name in ("fine", "own"))
    # as many cells may be found by chance, but not of the same sizes
    assert not np.array_equal(fine["area"], own["area"])
    for table in (fine, own):
        np.testing.assert_allclose(table["area_um2"], table["area"] * 0.25)


def test_a_preview_of_a_folder_is_refused(tissue, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}.ome.tif").symlink_to(tissue)
    arguments = [tmp_path, "--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5"]
    assert main(["preview", *map(str, arguments), "--outdir", str(tmp_path / "out")]) == 64
    assert "a preview shows one image" in capsys.readouterr().err


def test_crops_are_the_brightest_and_the_one_in_the_middle():
    pixels = np.zeros((1000, 1200), np.float32)
    pixels[600:, 800:] = 9
    pixels[:400, 300:700] = 1

    class Drawn:
        def model_input(self, roles, window):
            assert roles == ("nuclear",)
            return pixels[window.slices]

    dense, typical = choose_crops(SampleSpec("s", (), (1000, 1200), 0.5, "0", "", (), "u1"), Drawn())
    assert pixels[dense.slices].mean() == 9
    assert pixels[typical.slices].mean() < 2
    assert dense.shape == typical.shape == (CROP_PX, CROP_PX)
