"""The command ``cellbatch samplesheet``, and what a newcomer's folder of plain TIFFs meets elsewhere."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellbatch.commands.main import main
from cellbatch.io.samplesheet import read_samplesheet
from cellbatch.phases.write_samplesheet import write_samplesheet
from cellbatch.spec import ImageHeader

PLANE = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One channel, two channels, one with all it needs, a colour picture, and what else lies in a user's folder."""
    folder = tmp_path / "own images"
    (folder / "day 2").mkdir(parents=True)
    tifffile.imwrite(folder / "well A01 (8 bit).tif", PLANE.astype(np.uint8), metadata=None, resolution=(72, 72))
    tifffile.imwrite(folder / "day 2/well A01 (8 bit).tif", PLANE, metadata=None)
    tifffile.imwrite(folder / "tissue 1.tif", np.stack([PLANE, PLANE]), metadata=None, photometric="minisblack")
    known = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}, "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    known |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(folder / "good.ome.tif", np.stack([PLANE, PLANE]), metadata=known)
    tifffile.imwrite(folder / "overview.tif", np.zeros((30, 40, 3), np.uint8), photometric="rgb", metadata=None)
    (folder / "notes.txt").write_text("20x")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["sample"]: row for row in csv.DictReader(file)}


def test_every_image_becomes_a_row_and_nothing_is_guessed(folder, capsys):
    sheet = folder.parent / "sheet.csv"
    assert main(["samplesheet", str(folder), "--output", str(sheet)]) == 0
    said = capsys.readouterr().out
    assert set(rows_of(sheet)) == {"well_A01_8_bit", "day_2_well_A01_8_bit", "tissue_1", "good"}
    assert rows_of(sheet)["tissue_1"]["image"] == "own images/tissue 1.tif"
    assert {row["image_mpp"] for row in rows_of(sheet).values()} == {""}
    assert "overview.tif: is an RGB colour image" in said
    assert "no images: notes.txt" in said
    assert "good                  30 x 40 px, uint16, 2 channels (0 DAPI, 1 CD45), 0.25 um/px" in said
    mpp, nuclear, membrane = (line for line in said.splitlines() if line.startswith("  fill in"))
    assert "image_mpp (um per pixel) of 3: day_2_well_A01_8_bit, tissue_1, well_A01_8_bit" in mpp
    assert nuclear.endswith("of 2: good, tissue_1")
    assert membrane.endswith("of 2: good, tissue_1")


def test_what_is_said_once_fills_the_rows_that_need_it(folder, capsys):
    sheet = folder.parent / "sheet.csv"
    options = ["--image-mpp", "0.5", "--nuclear-channel", "0", "--membrane_channel", "max(0,1)"]
    assert main(["samplesheet", str(folder), "--output", str(sheet), *options]) == 0
    assert f"next: nextflow run main.nf --input '{sheet}'" in capsys.readouterr().out
    rows = {row.sample: row for row in read_samplesheet(sheet)}
    assert {name: row.image_mpp for name, row in rows.items()} == {
        "well_A01_8_bit": 0.5, "day_2_well_A01_8_bit": 0.5, "tissue_1": 0.5, "good": None,
    }  # fmt: skip
    assert (rows["tissue_1"].nuclear_channel, rows["tissue_1"].membrane_channel) == ("0", "max(0,1)")
    assert rows["well_A01_8_bit"].nuclear_channel == ""


class CountedName(str):
    """A name that counts how often something is put behind it, also where it is cut."""

    made = 0

    def __getitem__(self, key):
        return CountedName(str(self)[key])

    def __format__(self, form):
        CountedName.made += 1
        return str(self)


def test_hundreds_of_images_whose_names_say_nothing_are_numbered_in_one_go(tmp_path, monkeypatch):
    """What was tried for one image is not tried again for the next."""
    folder = tmp_path / "images"
    folder.mkdir()
    count = 300
    for index in range(count):
        (folder / f"{chr(0x4E00 + index)}.tif").write_bytes(b"II")
    header = ImageHeader((1, 9, 9), "uint8", ("",), 0.5, "tiff")
    monkeypatch.setattr("cellbatch.phases.write_samplesheet.read_header", lambda _: header)
    monkeypatch.setattr("cellbatch.phases.write_samplesheet.to_sample_name", lambda name: CountedName("image"))
    monkeypatch.setattr(CountedName, "made", 0)
    found = write_samplesheet([folder], tmp_path / "sheet.csv", {})
    numbered = [f"image_{number}" for number in range(2, count + 1)]
    assert [one.row["sample"] for one in found.images] == ["image", *numbered]
    assert CountedName.made < 2 * count


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{folder}", "--output", "{folder}/notes.txt"], 64, "exists already"),
        (["{folder}/none"], 65, "no such file or folder"),
        (["{folder}/overview.tif"], 65, "overview.tif: is an RGB colour image"),
        (["{folder}/.."], 64, "expected 0.01 to 100 um per px"),
        ([], 64, "required"),
    ],
)
def test_wrong_use_says_what_to_do(folder, arguments, code, message, capsys):
    words = [argument.format(folder=folder) for argument in arguments]
    words += ["--image-mpp", "500"] if "um per px" in message else []
    words += [] if "--output" in words else ["--output", str(folder.parent / "sheet.csv")]
    try:
        found = main(["samplesheet", *words])
    except SystemExit as error:
        found = error.code
    assert (found, message in capsys.readouterr().err) == (code, True)
    assert not (folder.parent / "sheet.csv").exists()


def test_faults_of_a_folder_are_told_at_once_and_without_a_samplesheet(folder, capsys):
    assert main(["segment", str(folder), "--outdir", str(folder.parent / "out")]) == 65
    said = capsys.readouterr().err
    assert "own images: 8 faults:" in said
    assert "own_images_overview: " in said
    assert "own_images_tissue_1: which channel is nuclear_channel?" in said
    assert "own_images_tissue_1: the pixel size is not known: the file does not say; give --image_mpp" in said
    assert not any(word in said for word in ("samplesheet", "row 2", "column"))


def test_names_with_spaces_become_samples(folder, capsys):
    for name in ("day 2/well A01 (8 bit).tif", "overview.tif"):
        (folder / name).unlink()
    out = folder.parent / "out"
    options = ["--nuclear-channel", "0", "--membrane-channel", "1", "--image-mpp", "0.5", "--outdir", str(out)]
    # three images of one row: what one channel cannot give is said for that image only
    assert main(["segment", str(folder), *options]) == 65
    assert "own_images_well_A01_8_bit: " in capsys.readouterr().err
    (folder / "well A01 (8 bit).tif").unlink()
    assert main(["segment", str(folder), *options]) == 0
    assert (out / "labels/own_images_tissue_1.whole_cell.ome.tif").exists()
    assert f"look at {out}/qc/*.overlay.png" in capsys.readouterr().out
