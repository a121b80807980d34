"""A samplesheet of 1,000 rows with 40 different faults: one message that lists them all."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from cellbatch.errors import InputError
from cellbatch.io.model_sources import describe_source
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.plan_batches import plan_batches

ROWS = 1000
COLUMNS = ("sample", "image", "nuclear_image", "membrane_image", "nuclear_channel", "membrane_channel", "image_mpp")
NAMES = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}}
MPP = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}


def write_tiff(path: Path, shape: tuple[int, ...] = (2, 40, 50), **metadata: object) -> None:
    tifffile.imwrite(path, np.ones(shape, np.uint16), photometric="minisblack", metadata={**NAMES, **metadata})


def make_images(folder: Path) -> None:
    """Sound and damaged files, one per kind of fault."""
    write_tiff(folder / "good.ome.tif", **MPP)
    write_tiff(folder / "no_mpp.ome.tif")
    write_tiff(folder / "oblong.ome.tif", PhysicalSizeX=0.5, PhysicalSizeY=0.6)
    write_tiff(folder / "quarter.ome.tif", PhysicalSizeX=0.25, PhysicalSizeY=0.25)
    write_tiff(folder / "zero_mpp.ome.tif", PhysicalSizeX=0, PhysicalSizeY=0)
    write_tiff(folder / "z.ome.tif", (2, 3, 8, 9), axes="CZYX", **MPP)
    write_tiff(folder / "t.ome.tif", (3, 2, 8, 9), axes="TCYX", **MPP)
    tifffile.imwrite(folder / "small.tif", np.ones((9, 9), np.uint16))
    tifffile.imwrite(folder / "rgb.tif", np.ones((9, 9, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(folder / "complex.tif", np.ones((9, 9), np.complex64))
    whole = (folder / "good.ome.tif").read_bytes()
    (folder / "short.ome.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "text.tif").write_text("not an image at all")
    (folder / "empty.tif").touch()
    (folder / "scan.oir").write_bytes(b"OLYMPUSRAWFORMAT")
    np.save(folder / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    np.save(folder / "last.npy", np.ones((40, 50, 3)))
    np.savez(folder / "two.npz", one=np.ones((4, 4)), other=np.ones((4, 4)))
    (folder / "broken.zip").write_bytes(b"PK\x03\x04 and nothing")
    (folder / "no_images").mkdir()
    (folder / "no_images" / "notes.txt").touch()
    zarr.create_group(folder / "plain.zarr")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")


# per fault: cells that differ from a sound row's, and what the message says
FAULTS: list[tuple[dict[str, str], str]] = [
    ({"sample": "a b"}, "column sample: 'a b': expected 1 to 128 letters"),
    ({"sample": ""}, "column sample: is empty; give every row a name"),
    ({"sample": "S0"}, "column sample: 'S0' is already the name of row 2 (case does not count); rename one"),
    ({"sample": "x" * 129}, "expected 1 to 128 letters"),
    ({"sample": "../../etc"}, "column sample: '../../etc'"),
    ({"image_mpp": "0"}, "column image_mpp: '0': expected the size of a pixel in µm, a number from 0.01 to 100"),
    ({"image_mpp": "0.5 um"}, "column image_mpp: '0.5 um'"),
    ({"image_mpp": "10000"}, "column image_mpp: '10000'"),
    ({"image_mpp": "NaN"}, "column image_mpp: 'NaN'"),
    ({"image": ""}, "column image: is empty; give a file in image or in nuclear_image"),
    ({"nuclear_image": "small.tif"}, "column image: 'good.ome.tif' stands beside nuclear_image or membrane_image"),
    (
        {"image": "", "membrane_image": "small.tif"},
        "column nuclear_image: is empty while membrane_image is 'small.tif'",
    ),
    ({"image": "gone.tif"}, "column image: no file 'gone.tif'; correct the path"),
    ({"image": "a{1}.tif"}, "column image: 'a{1}.tif' holds '{', which Nextflow takes for a pattern; rename"),
    ({"image": "a\tb.tif"}, "column image: 'a\\tb.tif' holds the control character '\\t'"),
    ({"image": "scan.oir"}, "column image: scan.oir: files of type '.oir' are not read"),
    ({"image": "short.ome.tif"}, "column image: short.ome.tif: the chain of pages leads to byte"),
    ({"image": "text.tif"}, "column image: text.tif: cannot be read as TIFF (not a TIFF file"),
    ({"image": "empty.tif"}, "column image: empty.tif: the file is empty; copy it again"),
    ({"image": "rgb.tif"}, "column image: rgb.tif: is an RGB colour image"),
    ({"image": "z.ome.tif"}, "column image: z.ome.tif: is a z-stack of 3 planes"),
    ({"image": "t.ome.tif"}, "column image: t.ome.tif: is a time series of 3 planes"),
    ({"image": "complex.tif"}, "column image: complex.tif: pixels of type complex64 cannot be segmented"),
    ({"image": "objects.npy"}, "column image: objects.npy: cannot be read as NumPy file"),
    ({"image": "last.npy"}, "column image: last.npy: shape (40, 50, 3) without axis names looks like (Y, X, C)"),
    ({"image": "two.npz"}, "column image: two.npz: holds the arrays ['one', 'other'], expected one named 'image'"),
    ({"image": "broken.zip"}, "column image: broken.zip: cannot be read as zip archive"),
    ({"image": "no_images"}, "column image: no_images: holds no image of a type that is read"),
    ({"image": "plain.zarr"}, "column image: plain.zarr: holds no multiscales metadata"),
    ({"image": "broken.png"}, "column image: broken.png: cannot be read as PNG or JPEG"),
    ({"image": "oblong.ome.tif"}, "column image: oblong.ome.tif: pixels are not square (0.5 µm in X, 0.6 µm in Y)"),
    ({"image": "no_mpp.ome.tif"}, "column image_mpp: the pixel size is not known: the column image_mpp is empty"),
    ({"image": "zero_mpp.ome.tif"}, "column image_mpp: the pixel size is not known"),
    (
        {"nuclear_channel": "Dapi"},
        "column nuclear_channel: no channel 'Dapi'; did you mean 'DAPI'? channels are 0 'DAPI'",
    ),
    (
        {"nuclear_channel": ""},
        "column nuclear_channel: which channel is nuclear_channel? the image has 2: 0 DAPI, 1 CD45",
    ),
    ({"membrane_channel": ""}, "column membrane_channel: which channel is membrane_channel?"),
    ({"membrane_channel": "7"}, "column membrane_channel: no channel 7; the image has 2"),
    ({"membrane_channel": "max(DAPI"}, "column membrane_channel: recipe 'max(DAPI': expected ',' or ')'"),
    ({"membrane_channel": "median(DAPI)"}, "'median' is no operation; expected max, sum, mean or norm"),
    (
        {"image": "", "nuclear_image": "good.ome.tif", "membrane_image": "quarter.ome.tif"},
        "column image_mpp: the files contradict each other: nuclear 0.5 um/px, membrane 0.25 um/px",
    ),
]


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[[dict[int, dict[str, str]]], tuple[Path, list[dict]]]:
    make_images(tmp_path)
    sound = {"image": "good.ome.tif", "nuclear_channel": "DAPI", "membrane_channel": "CD45"}

    def write(changes: dict[int, dict[str, str]]) -> tuple[Path, list[dict]]:
        """A samplesheet of sound rows with some cells changed, and its files as Nextflow stages them."""
        lines, staged, count = [",".join(COLUMNS)], [], 0
        for index in range(ROWS):
            cells = {"sample": f"s{index}", **sound, **changes.get(index, {})}
            lines.append(",".join(f'"{cells.get(name, "")}"' for name in COLUMNS))
            files = []
            for column in COLUMNS[1:4]:
                path = cells.get(column, "")
                source = tmp_path / path
                refused = "{" in path or "\t" in path
                state = "refused" if refused else "staged" if source.exists() else "missing"
                count += path != "" and state == "staged"
                if path and state == "staged":
                    place = tmp_path / "images" / str(count)
                    place.mkdir(parents=True)
                    (place / source.name).symlink_to(source)
                if path:
                    files.append({"column": column, "path": path, "state": state, "position": count})
            staged.append({"files": files})
        path = tmp_path / "samplesheet.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path, staged

    return write


def test_forty_faults_in_a_thousand_rows_are_told_at_once(sheet, tmp_path: Path) -> None:
    assert len(FAULTS) == 40
    path, staged = sheet({7 + 23 * number: cells for number, (cells, _) in enumerate(FAULTS)})
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        plan_batches(path, staged, tmp_path / "images", describe_source(find_model("demo")), {})
    elapsed = time.perf_counter() - started
    title, *lines = str(caught.value).splitlines()
    assert title.endswith("40 faults in the samplesheet:")
    assert [line.split(",")[0].split(":")[0].strip() for line in lines] == [f"row {9 + 23 * n}" for n in range(40)]
    for line, (_, told) in zip(lines, FAULTS, strict=True):
        assert told in line
    assert elapsed < 20


def test_a_run_that_keeps_going_leaves_out_what_is_wrong(sheet, tmp_path: Path) -> None:
    path, staged = sheet({7 + 23 * number: cells for number, (cells, _) in enumerate(FAULTS)})
    batches, plan = plan_batches(
        path, staged, tmp_path / "images", describe_source(find_model("demo")), {"keep_going": True}
    )
    assert plan["samples"] == ROWS - len(FAULTS)
    assert [
        (out["row"], told in out["reason"] or told.split(": ", 1)[-1] in out["reason"])
        for out, (_, told) in zip(plan["left_out"], FAULTS, strict=True)
    ] == [(9 + 23 * number, True) for number in range(40)]
    segmented = {sample["sample"] for batch in batches for sample in batch["record"]["samples"]}
    assert len(segmented) == plan["samples"]
    assert "s0" in segmented
    assert "s7" not in segmented
