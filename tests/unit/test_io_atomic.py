"""Files are complete or absent."""

from pathlib import Path

import pytest

from cellbatch.errors import InputError
from cellbatch.io.atomic import atomic_path, write_bytes, write_text


def test_the_name_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.ome.tif"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("a.ome.tif")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def fail_while_writing(target: Path, *, folder: bool) -> None:
    with atomic_path(target) as temporary:
        if folder:
            temporary.mkdir()
            (temporary / "part").write_text("x")
        else:
            temporary.write_text("half")
        raise RuntimeError("stop")


@pytest.mark.parametrize("folder", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path: Path, folder: bool) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="stop"):
        fail_while_writing(target, folder=folder)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_can_be_written(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.zarr") as temporary:
        temporary.mkdir()
        (temporary / "zarr.json").write_text("{}")
    assert (tmp_path / "a.zarr" / "zarr.json").read_text() == "{}"


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"the folder .*nowhere does not exist"),
        atomic_path(tmp_path / "nowhere" / "a"),
    ):
        pass


def test_long_names(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250 + ".tif")
    write_bytes(target, b"1")
    assert target.read_bytes() == b"1"


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "µm\n")
    assert (tmp_path / "a").read_bytes() == b"\xc2\xb5m\n"
