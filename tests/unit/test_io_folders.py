"""Folders and zip archives of images."""

import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import zarr

from cellbatch.errors import InputError
from cellbatch.io.folders import ImageCollection, is_collection, list_members, open_member

MEMBERS = ["B.PNG.tif", "a.tif", "deep/er/c.npy", "image.ome.zarr", "ünï (1) [x] $(y).tif"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "deep" / "er").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "__MACOSX").mkdir()
    for index, name in enumerate([*MEMBERS, ".hidden/x.tif", "__MACOSX/x.tif", "._a.tif"]):
        image = np.full((9, 7), index, "uint8")
        if name.endswith(".tif"):
            tifffile.imwrite(root / name, image)
        elif name.endswith(".npy"):
            np.save(root / name, image)
        else:
            group = zarr.open_group(root / name, mode="w", zarr_format=2)
            group.create_array("0", shape=image.shape, dtype=image.dtype, chunks=(4, 4))[...] = image
            axes, datasets = [{"name": "y"}, {"name": "x"}], [{"path": "0"}]
            group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    (root / "readme.txt").write_text("no image")
    return root


def pack(folder: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder.parent / "images.zip"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_members_are_listed_and_read(folder: Path, packed: bool) -> None:
    path = pack(folder) if packed else folder
    assert is_collection(path)
    assert list_members(path) == MEMBERS
    with ImageCollection(path) as collection:
        for index, member in enumerate(MEMBERS):
            with collection.open(member) as reader:
                assert reader.header.shape == (1, 9, 7)
                assert (reader.read(0) == index).all()


def test_one_member_or_the_file_itself(folder: Path) -> None:
    with open_member(pack(folder), "a.tif") as reader:
        assert (reader.read(0) == 1).all()
    with open_member(folder / "a.tif", "") as reader:
        assert (reader.read(0) == 1).all()


def test_unpacked_copies_are_deleted(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    path = pack(folder)
    with open_member(path, "image.ome.zarr"):
        assert len(list(temporary.iterdir())) == 1
    (folder / "bad.tif").write_bytes(b"no tiff")
    with pytest.raises(InputError, match=r"images\.zip/bad\.tif: cannot be read as TIFF"):
        open_member(pack(folder), "bad.tif")
    assert list(temporary.iterdir()) == []


def test_images_and_zarr_folders_are_no_collections(folder: Path) -> None:
    assert not is_collection(folder / "a.tif")
    assert not is_collection(folder / "image.ome.zarr")
    assert not is_collection(folder / "absent")


def test_linked_files_are_members_and_linked_folders_are_not(folder: Path) -> None:
    (folder / "link.tif").symlink_to(folder / "a.tif")
    (folder / "circle").symlink_to(folder)
    assert list_members(folder) == sorted([*MEMBERS, "link.tif"])


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        list_members(tmp_path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(InputError, match="holds no image"):
        list_members(tmp_path / "a.zip")
    with pytest.raises(InputError, match="no such file"):
        list_members(tmp_path / "b.zip")
    (tmp_path / "c.zip").write_bytes(b"PK no zip")
    with pytest.raises(InputError, match="cannot be read as zip"):
        list_members(tmp_path / "c.zip")


def test_members_under_other_spellings(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    np.save(tmp_path / "x.npy", np.ones((3, 4), "uint8"))
    entry = zipfile.ZipInfo("./x.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, (tmp_path / "x.npy").read_bytes())
    assert list_members(path) == ["x.npy"]
    with open_member(path, "x.npy") as reader:
        assert reader.header.shape == (1, 3, 4)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(tmp_path / "x.npy", "x.npy")
    with pytest.raises(InputError, match="two entries of one name"):
        list_members(path)


def test_absent_member(folder: Path) -> None:
    for path in (folder, pack(folder)):
        with pytest.raises(InputError, match="no such image in it"):
            open_member(path, "../a.tif")


@pytest.mark.parametrize("name", ["../a.tif", "/etc/a.tif", "x/../../a.tif", "C:/a.tif", "x\\a.tif"])
def test_entries_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.zip"
    entry = zipfile.ZipInfo("x")
    entry.filename = name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, b"x")
    with pytest.raises(InputError, match="leads out of the archive"):
        list_members(path)


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    entry = zipfile.ZipInfo("a.tif")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        list_members(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_entry(folder: Path, compression: int) -> None:
    path = pack(folder, compression)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("a.tif").header_offset + 60
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.tif: cannot be unpacked.*pack the archive again"):
        open_member(path, "a.tif")


def test_unpacking_stops_before_the_disk_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(InputError, match="has 10 left"):
        open_member(path, "a.tif")
