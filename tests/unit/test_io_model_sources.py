"""Telling what a user named as a model."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from cellbatch.errors import InputError
from cellbatch.io.applications import read_applications
from cellbatch.io.model_archives import hash_md5, unpack_archive
from cellbatch.io.model_sources import describe_source, find_source, source_key
from cellbatch.io.models import parse_manifest
from cellbatch.phases.model_shelves import find_model

SHIPPED = Path(__file__).parents[2] / "assets" / "models"


def make_archive(path: Path, entries: dict[str, bytes | tarfile.TarInfo]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in entries.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content) if isinstance(content, bytes) else info.size
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def stage(folder: Path, *files: str) -> Path:
    folder.mkdir()
    for name in files:
        if name.endswith(".json"):
            shutil.copyfile(SHIPPED / "demo" / "manifest.json", folder / name)
        else:
            (folder / name).write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("name", ["mesmer", "nuclear", "cytoplasm"])
def test_deepcells_applications_are_manifests(name):
    manifest = parse_manifest(read_applications()[name], name)
    assert manifest.archive is not None
    assert not manifest.weights
    source = describe_source(find_model(name))
    assert (source.form, source.manifest) == ("fetch", manifest)


def test_constants_of_the_applications():
    mesmer, nuclear = (parse_manifest(read_applications()[name], name) for name in ("mesmer", "nuclear"))
    assert (mesmer.model_mpp, mesmer.preprocessing.percentile, mesmer.tile_padding) == (0.5, 99.9, "constant")
    assert mesmer.heads == (1, 3, 1, 3)
    assert mesmer.compartments["whole_cell"].watershed.maxima_threshold == 0.075
    assert mesmer.compartments["nuclear"].interior.head == 3
    assert (nuclear.model_mpp, nuclear.preprocessing.percentile, nuclear.tile_padding) == (0.65, None, "reflect")
    watershed = nuclear.compartments["nuclear"].watershed
    assert (watershed.radius, watershed.interior_threshold, watershed.interior_smooth) == (10, 0.01, 1)
    assert (watershed.small_objects_threshold, watershed.fill_holes_threshold) == (0, 0)


@pytest.mark.parametrize("beside", ["manifest.json", "net.manifest.json"])
@pytest.mark.parametrize(("file", "form"), [("net.onnx", "onnx"), ("net.keras", "keras"), ("net.h5", "keras")])
def test_weights_with_a_manifest_beside_them(tmp_path, file, form, beside):
    source = find_source(stage(tmp_path / "source", file, beside))
    assert (source.form, source.path.name, source.manifest.name) == (form, file, "demo")


def test_weights_without_a_manifest_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(
        InputError, match=r"put a manifest beside them, named net\.manifest\.json .*assets/models/mesmer"
    ):
        find_source(stage(tmp_path / "source", "net.onnx", "other.manifest.json"))


@pytest.mark.parametrize("files", [[], ["a.onnx", "b.onnx"], ["notes.txt"], ["manifest.json"]])
def test_what_is_no_model_is_refused(tmp_path, files):
    with pytest.raises(InputError, match=r"an \.onnx file, a SavedModel folder"):
        find_source(stage(tmp_path / "source", *files) if files != ["manifest.json"] else tmp_path / "nothing")


def test_forms_of_folders(tmp_path):
    shutil.copytree(SHIPPED / "demo", tmp_path / "a/demo")
    complete = find_source(tmp_path / "a")
    assert complete.form == "folder"
    saved = tmp_path / "b" / "MultiplexSegmentation"
    saved.mkdir(parents=True)
    (saved / "saved_model.pb").touch()
    assert (find_source(tmp_path / "b").form, find_source(tmp_path / "b").manifest.name) == ("saved_model", "mesmer")
    saved.rename(tmp_path / "b" / "unheard_of")
    with pytest.raises(InputError, match="which application these weights belong to"):
        find_source(tmp_path / "b")
    record = json.loads((SHIPPED / "demo/manifest.json").read_text())
    del record["weights"]
    (tmp_path / "b/unheard_of/manifest.json").write_text(json.dumps(record))
    assert find_source(tmp_path / "b").form == "saved_model"
    (tmp_path / "b/unheard_of/saved_model.pb").unlink()
    with pytest.raises(InputError, match="names neither weights nor an archive"):
        find_source(tmp_path / "b")


def test_an_archive_is_known_by_its_folder(tmp_path):
    make_archive(tmp_path / "a/x.tar.gz", {"./NuclearSegmentation/saved_model.pb": b"graph"})
    assert find_source(tmp_path / "a").manifest.name == "nuclear"
    make_archive(tmp_path / "b/x.tar.gz", {"Other/saved_model.pb": b"graph"})
    with pytest.raises(InputError, match=r"named x\.manifest\.json"):
        find_source(tmp_path / "b")
    (tmp_path / "b/x.tar.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"is no \.tar\.gz archive or is damaged"):
        find_source(tmp_path / "b")


def test_the_key_follows_source_manifest_and_converter(tmp_path):
    folder = stage(tmp_path / "source", "net.onnx", "net.manifest.json")
    first = source_key(find_source(folder), "1")
    assert first == source_key(find_source(folder), "1")
    assert len(first) == 64
    keys = {first, source_key(find_source(folder), "2")}
    (folder / "net.onnx").write_bytes(b"other")
    keys.add(source_key(find_source(folder), "1"))
    text = (folder / "net.manifest.json").read_text()
    (folder / "net.manifest.json").write_text(text.replace('"model_mpp": 0.5', '"model_mpp": 0.6'))
    keys.add(source_key(find_source(folder), "1"))
    assert len(keys) == 4


def test_unpacking(tmp_path):
    archive = make_archive(tmp_path / "x.tar.gz", {"M/saved_model.pb": b"graph", "M/variables/v": b"values"})
    folder = unpack_archive(archive, tmp_path / "out")
    assert (folder / "M/saved_model.pb").read_bytes() == b"graph"
    assert (folder / "M/variables/v").read_bytes() == b"values"
    assert len(hash_md5(archive)) == 32


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../evil": b"x"}, "lies outside"),
        ({"/tmp/evil": b"x"}, "lies outside"),
        ({"M/a": link("M/a", "/etc/passwd")}, "is a link or a device"),
        ({"M/a": link("M/a", "M/b", tarfile.LNKTYPE)}, "is a link or a device"),
        ({"M/a": link("M/a", "", tarfile.FIFOTYPE)}, "is a link or a device"),
        ({"M/a": b"x" * 2000}, "more than 10000 entries or 1000 bytes"),
    ],
)
def test_archives_that_are_not_trusted(tmp_path, entries, message):
    archive = make_archive(tmp_path / "in" / "x.tar.gz", entries)
    with pytest.raises(InputError, match=message):
        unpack_archive(archive, tmp_path / "out", largest_bytes=1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_truncated_archive_leaves_nothing(tmp_path):
    archive = make_archive(tmp_path / "x.tar.gz", {"M/a": bytes(range(256)) * 400})
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(InputError, match="is damaged"):
        unpack_archive(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
