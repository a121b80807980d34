"""Channel names from markers.csv and panel.csv, from the table to the plan."""

from pathlib import Path

import pytest

from cellbatch.errors import ConfigError, InputError
from cellbatch.io.markers import MEMBRANE, NUCLEAR, parse_markers
from cellbatch.io.models import read_manifest
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.settle_samples import Fallbacks
from cellbatch.spec import ImageHeader
from tests.unit.test_phases import Launch

MCMICRO = '\ufeffchannel_number,cycle_number,marker_name,Filter\r\n1,1,DNA_1,DAPI\r\n2,1,"CD45, RO",FITC\r\n'
STEINBOCK = "channel,name,keep,ilastik,deepcell\nIr191,DNA1,1,,1\nIr193,DNA2,1,,1.0\nPr141,CK,1,1,2\nX,Gone,0,,\n"


def header(*names: str) -> ImageHeader:
    return ImageHeader((len(names), 9, 9), "uint8", names, 0.5, "tiff")


def test_mcmicro() -> None:
    table = parse_markers(MCMICRO, "markers.csv")
    assert table.rename(header("", "")).channel_names == ("DNA_1", "CD45, RO")
    assert table.recipe(NUCLEAR) == ""


def test_channel_numbers_that_begin_anew_in_every_cycle() -> None:
    table = parse_markers("channel_number,cycle_number,marker_name\n2,1,A\n1,1,B\n1,2,C\n", "m.csv")
    assert table.names_for(3) == ("A", "B", "C")


def test_steinbock() -> None:
    table = parse_markers(STEINBOCK, "panel.csv")
    assert table.names_for(3) == ("DNA1", "DNA2", "CK")
    assert table.names_for(4) == ("DNA1", "DNA2", "CK", "Gone")
    assert table.recipe(NUCLEAR) == 'mean("DNA1","DNA2")'
    assert table.recipe(MEMBRANE) == '"CK"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none"),
        ("markername,x\nA,1\n", "did you mean 'markername'"),
        ("marker_name\n", "no rows"),
        ("marker_name,x\nA,1\n,2\n", "row 3: marker_name is empty"),
        ("channel,name,keep\nA,B,perhaps\n", "keep is 'perhaps'"),
        ("channel_number,marker_name\n2,A\n1,B\n", "does not ascend"),
        ('marker_name\n"A\n', "cannot be read as CSV"),
    ],
)
def test_faults_of_the_table(text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"--markers m.csv: .*{message}"):
        parse_markers(text, "m.csv")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("", "", ""), "the image has 3 channels, but --markers m.csv has 2 rows"),
        (("CD45", "DAPI"), "channel 0 is called 'CD45' in the image and 'DAPI' in --markers m.csv"),
    ],
)
def test_a_table_that_contradicts_the_image(names: tuple[str, ...], message: str) -> None:
    table = parse_markers("marker_name\nDAPI\nCD45\n", "m.csv")
    with pytest.raises(InputError, match=message):
        table.rename(header(*names))


def test_the_plan_reads_recipes_by_the_names_of_the_table(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    launch.write("a.ome.tif", 1, PhysicalSizeX=0.5, PhysicalSizeY=0.5, Channel={"Name": ["Ir191", "Pr141"]})
    launch.add("one,a.ome.tif,,,HH3,,")
    table = "channel,name,keep,deepcell\nIr191,HH3,1,1\nPr141,PanCK,1,2\n"
    batches, _ = launch.plan(markers="panel.csv", marker_table=table, z_plane=3, measure_channels="PanCK")
    (sample,) = batches[0]["record"]["samples"]
    assert (sample["nuclear"], sample["membrane"]) == ("0", "1")
    assert sample["channel_names"] == ("HH3", "PanCK")
    assert sample["reading"] == {"allow_rgb": False, "z_plane": 3, "projection": ""}


def test_a_plane_and_a_projection_exclude_each_other() -> None:
    manifest = read_manifest(find_model("demo"))
    with pytest.raises(ConfigError, match="exclude each other"):
        Fallbacks.of_run({"z_plane": 0, "projection": "max"}, manifest)
