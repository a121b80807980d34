"""The samplesheet: what it may look like, and that all faults of a sheet are told at once."""

import json
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cellbatch.errors import InputError
from cellbatch.io.file_names import check_file_name
from cellbatch.io.samplesheet import COLUMNS, Row, parse_samplesheet, read_samplesheet
from cellbatch.io.schemas import load_schema
from cellbatch.spec import SAMPLE_NAME

HEADER = ",".join(COLUMNS)


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_samplesheet(write(tmp_path, text))
    return str(caught.value).splitlines()


def test_a_sheet_as_spreadsheets_write_it(tmp_path: Path) -> None:
    text = (
        "\ufeffsample,image,nuclear_channel,membrane_channel,image_mpp,patient note\r\n"
        "\r\n"
        'a-1.x,"dir [1]/x (2) $(y) \'z\' *.tif",DAPI,"max(PanCK,CD45)",0.5,"old, ""tall"""\r\n'
        " b_2 , gs://bucket/ünï.ome.tif ,0,,,\r\n"
        ",,,,,\r\n"
        "c,s3://x/y.zip\r\n"
    )
    assert read_samplesheet(write(tmp_path, text)) == [
        Row(
            3,
            "a-1.x",
            image="dir [1]/x (2) $(y) 'z' *.tif",
            nuclear_channel="DAPI",
            membrane_channel="max(PanCK,CD45)",
            image_mpp=0.5,
            columns={"patient note": 'old, "tall"'},
        ),
        Row(4, "b_2", image="gs://bucket/ünï.ome.tif", nuclear_channel="0", columns={"patient note": ""}),
        Row(6, "c", image="s3://x/y.zip", columns={"patient note": ""}),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    rows = read_samplesheet(write(tmp_path, f"sample,image{end}a,x.tif{end}{end}b,y.tif"))
    assert [(row.number, row.sample, row.image) for row in rows] == [(2, "a", "x.tif"), (4, "b", "y.tif")]


def test_one_file_per_channel(tmp_path: Path) -> None:
    rows = read_samplesheet(write(tmp_path, "sample,nuclear_image,membrane_image\na,n.tif,m.tif\nb,n.tif,\n"))
    assert [(row.nuclear_image, row.membrane_image) for row in rows] == [("n.tif", "m.tif"), ("n.tif", "")]


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ("a b,x.tif,,,,,", "sample", "'a b': expected 1 to 128 letters"),
        ("-a,x.tif,,,,,", "sample", "beginning with a letter"),
        ("../a,x.tif,,,,,", "sample", "rename the sample"),
        ("a" * 129 + ",x.tif,,,,,", "sample", "1 to 128"),
        ("ä,x.tif,,,,,", "sample", "letters"),
        (",x.tif,,,,,", "sample", "is empty"),
        ("a,,,,,,", "image", "is empty; give a file"),
        ("a,x.tif,n.tif,,,,", "image", "stands beside nuclear_image"),
        ("a,x.tif,,m.tif,,,", "image", "stands beside"),
        ("a,,,m.tif,,,", "nuclear_image", "is empty while membrane_image is 'm.tif'"),
        ("a,x{1}.tif,,,,,", "image", "holds '{', which Nextflow takes for a pattern; rename"),
        ("a,,n}.tif,,,,", "nuclear_image", "holds '}'"),
        ('a,"x\ny.tif",,,,,', "image", r"control character '\\n', which breaks staging"),
        ("a,x\ty.tif,,,,,", "image", r"control character '\\t'"),
        ('a,x.tif,,,"DA\nPI",,', "nuclear_channel", "line break or control character"),
        ("a,x.tif,,,,,0", "image_mpp", "'0': expected the size of a pixel"),
        ("a,x.tif,,,,,-0.5", "image_mpp", "'-0.5'"),
        ('a,x.tif,,,,,"0,5"', "image_mpp", "'0,5'"),
        ("a,x.tif,,,,,nan", "image_mpp", "'nan'"),
        ("a,x.tif,,,,,1e5", "image_mpp", "'1e5'"),
        ("a,x.tif,,,,,half", "image_mpp", "'half'"),
    ],
)
def test_a_fault_names_row_column_value_and_remedy(tmp_path: Path, row: str, column: str, message: str) -> None:
    text = f"{HEADER}\nfirst,x.tif\n{row}\nlast,y.tif\n"
    with pytest.raises(InputError, match=message) as caught:
        read_samplesheet(write(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("sheet.csv: 1 fault in the samplesheet:")
    assert lines[1].startswith(f"  row 3, column {column}: ")
    assert len(lines) == 2


def test_names_are_unique_ignoring_case(tmp_path: Path) -> None:
    found = faults(tmp_path, "sample,image\nab,x.tif\nc,x.tif\nAB,y.tif\nab,z.tif\n")
    assert found[1:] == [
        f"  row {row}, column sample: {name!r} is already the name of row 2 (case does not count); rename one"
        for row, name in ((4, "AB"), (5, "ab"))
    ]


def test_all_faults_are_told_in_the_order_of_rows(tmp_path: Path) -> None:
    rows = [f"s{index},x.tif,,,,,0.5" for index in range(1000)]
    wrong = {7: "s 7,x.tif", 8: "s8,", 500: "s500,a{.tif", 501: "S3,x.tif", 999: "s999,x.tif,,,,,x"}
    for index, row in wrong.items():
        rows[index] = row
    started = time.process_time()
    found = faults(tmp_path, "\n".join([HEADER, *rows]))
    assert time.process_time() - started < 5
    assert found[0].endswith("5 faults in the samplesheet:")
    assert [line.split(",")[0].strip() for line in found[1:]] == [f"row {index + 2}" for index in wrong]


def test_too_many_cells(tmp_path: Path) -> None:
    found = faults(tmp_path, "sample,image,nuclear_channel\na,x.tif,max(PanCK,CD45)\n")
    assert found[1] == (
        "  row 2: 4 cells under 3 columns ('CD45)' is too many); put cells that hold commas in double quotes"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the samplesheet is empty"),
        ("\n\n", "the samplesheet is empty"),
        ("sample,image\n", "has a header and no rows"),
        ("image\nx.tif\n", "column 'sample' is missing"),
        ("Sample,image\na,x.tif\n", "column 'Sample' is unknown; did you mean 'sample'"),
        ("sample,images\na,x.tif\n", "did you mean 'image'"),
        ("sample,image,nuclear chanel\na,x.tif,0\n", "did you mean 'nuclear_channel'"),
        ("sample,image,image\na,x.tif,y\n", "column 'image' occurs 2 times"),
        ("sample,,image\na,,x.tif\n", "column '' has no usable name"),
        ("sample;image\na;x.tif\n", "not separated by commas"),
        ("sample\timage\na\tx.tif\n", "not separated by commas"),
        ('sample,image\na,"x.tif\n', "line 2 cannot be read as CSV"),
        ("sample,image\na,x.tif\nb,ä.tif\n".encode("latin-1"), "line 3 is not UTF-8"),
        ("sample,image\na,x.tif\n".encode("utf-16"), "is not UTF-8"),
    ],
)
def test_sheets_that_cannot_be_understood(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_samplesheet(write(tmp_path, text))


def test_trailing_commas_and_own_columns_are_fine(tmp_path: Path) -> None:
    rows = read_samplesheet(write(tmp_path, "sample,image,image_id,day,,\na,x.tif,7,1,,\n"))
    assert rows[0].columns == {"image_id": "7", "day": "1"}


def test_a_column_that_is_nearly_a_known_one_is_remarked_on(tmp_path: Path) -> None:
    sheet = parse_samplesheet(write(tmp_path, "sample,image,pixel_size,nuclear,donor,image_id\na,x.tif,0.5,0,7,1\n"))
    assert [text.split("'")[1] for text in sheet.remarks] == ["pixel_size", "nuclear"]
    assert [text.split("'")[3] for text in sheet.remarks] == ["image_mpp", "nuclear_image"]
    assert sheet.rows[0].columns == {"pixel_size": "0.5", "nuclear": "0", "donor": "7", "image_id": "1"}


def test_absent_sheet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read .*correct --input"):
        read_samplesheet(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "name", ["a b.tif", "[a].tif", "it's.tif", 'a"b.tif', "$(rm x).tif", "*.tif", "ü.tif", "x" * 200, "a;b|c&d`e`.tif"]
)
def test_odd_file_names_are_fine(name: str) -> None:
    assert check_file_name(name) is None


@pytest.mark.parametrize("name", ["{a}.tif", "a}.tif", "a\nb.tif", "a\tb.tif", "a\x00b", "a\u2028b", "a\x7fb"])
def test_names_that_break_staging_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="rename"):
        check_file_name(name)


def test_assets_hold_the_schemas_of_the_package(project: Path) -> None:
    for name in ("schema_input.json", "schema_manifest.json"):
        schema = load_schema(name)
        assert json.loads((project / "assets" / name).read_text()) == schema
        Draft202012Validator.check_schema(schema)


def test_schema_and_parser_agree() -> None:
    properties = load_schema("schema_input.json")["items"]["properties"]
    assert tuple(properties) == COLUMNS
    assert properties["sample"]["pattern"] == f"^{SAMPLE_NAME.pattern}$"


def test_what_signs_an_address_is_in_no_message_and_no_row(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text('sample,image\na,"https://me:pa55@host/x.tif?sig=5ecret"\na,gs://b/{y}.tif?sig=5ecret\n')
    sheet = parse_samplesheet(path)
    assert sheet.rows[0].image == "https://host/x.tif"
    assert len(sheet.faults) == 2
    assert not any(secret in str(sheet) for secret in ("5ecret", "pa55"))
