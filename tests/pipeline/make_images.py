"""Small inputs for the pipeline tests, each set made anew where it is needed."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

MPP = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}


def draw_spots(seed: int, size: int = 64) -> np.ndarray:
    """Two channels (C, Y, X) of uint16 with a few bright disks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = rng.integers(0, 200, (2, size, size))
    for _ in range(4):
        center = rng.uniform(8, size - 8, 2)
        distance = np.hypot(y - center[0], x - center[1])
        image[0][distance < 5] += 4000
        image[1][(distance > 6) & (distance < 8)] += 3000
    return image.astype(np.uint16)


def write_image(path: Path, seed: int, size: int = 64, **metadata: object) -> None:
    """An OME-TIFF with channels DAPI and CD45."""
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}}
    tifffile.imwrite(path, draw_spots(seed, size), photometric="minisblack", metadata={**names, **metadata})


def make_faults(folder: Path) -> None:
    """Every row of the samplesheet is wrong in its own way."""
    write_image(folder / "good.ome.tif", 1, **MPP)
    write_image(folder / "no_mpp.ome.tif", 2)
    whole = folder / "whole.ome.tif"
    write_image(whole, 3, size=256, **MPP)
    (folder / "truncated.ome.tif").write_bytes(whole.read_bytes()[:150_000])
    rows = [
        "sample,image,nuclear_channel,membrane_channel",
        "missing,missing.ome.tif,DAPI,CD45",
        "no_channel,good.ome.tif,Dapi,CD45",
        "no_mpp,no_mpp.ome.tif,DAPI,CD45",
        "truncated,truncated.ome.tif,DAPI,CD45",
    ]
    (folder / "samplesheet.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def make_names(folder: Path) -> None:
    """File names that shells and globs would take apart, one of 200 characters; a BOM, CRLF, quotes, a column more.

    One image is asked for by a signed address of a server on this machine, whose port is not known yet.
    """
    names = ["[a] *.ome.tif", "it's $(touch pwned) `id`.ome.tif", 'Ω é " &.ome.tif', "n" * 192 + ".ome.tif"]
    rows = ["patient,sample,image,nuclear_channel,membrane_channel,pixel_size"]
    for i, name in enumerate(names):
        write_image(folder / name, i, **MPP)
        quoted = name.replace('"', '""')
        patient = f"p{i}" if i else ""
        sample = f"odd_{i}" if i < 3 else "s" * 128
        rows.append(f'{patient},{sample},"{quoted}",DAPI,"max(DAPI,CD45)"')
    text = "\r\n".join(rows) + "\r\n"
    (folder / "local [sheet].csv").write_bytes(text.encode())
    write_image(folder / "far.ome.tif", 9, **MPP)
    text += "p9,far,http://me:pa55word@127.0.0.1:{port}/far.ome.tif?X-Sig=S1GNED&to=ken,DAPI,CD45\r\n"
    (folder / "my sheet.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())


def make_empty(folder: Path) -> None:
    """An image of zeros beside one with cells, one file per channel, a z-stack, a colour image; a table of markers."""
    write_image(folder / "cells.ome.tif", 5, size=300, **MPP)
    zeros = np.zeros((2, 100, 300), np.uint16)
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}}
    tifffile.imwrite(folder / "empty.ome.tif", zeros, photometric="minisblack", metadata={**names, **MPP})
    tifffile.imwrite(folder / "nuclear.tif", draw_spots(6)[0])
    stack = np.stack([draw_spots(seed) for seed in (7, 8)])
    tifffile.imwrite(folder / "stack.ome.tif", stack, photometric="minisblack", metadata={"axes": "ZCYX", **MPP})
    tifffile.imwrite(folder / "colour.tif", np.full((64, 64, 3), 200, np.uint8), photometric="rgb")
    markers = "channel_number,cycle_number,marker_name\n1,1,DAPI\n2,1,CD45\n"
    (folder / "markers.csv").write_text(markers, encoding="utf-8")
    rows = [
        "sample,image,nuclear_image,membrane_image,nuclear_channel,membrane_channel,image_mpp",
        "empty,empty.ome.tif,,,DAPI,CD45,",
        "cells,cells.ome.tif,,,0,1,",
        "nuclear_only,,nuclear.tif,,,,0.5",
        "stack,stack.ome.tif,,,DAPI,CD45,",
        "colour,colour.tif,,,Hematoxylin,none,0.5",
    ]
    (folder / "samplesheet.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def make_broken(folder: Path) -> None:
    """Sound images beside one that is no image, and one whose pixels no header shows to be unusable."""
    for name in ("one", "two"):
        write_image(folder / f"{name}.ome.tif", 7, **MPP)
    (folder / "text.tif").write_text("no image at all", encoding="utf-8")
    names = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}}
    holes = draw_spots(8).astype(np.float32)
    holes[0, 5, 5] = np.nan
    tifffile.imwrite(folder / "nan.ome.tif", holes, photometric="minisblack", metadata={**names, **MPP})
    rows = ["sample,image,nuclear_channel,membrane_channel,image_mpp,donor"]
    rows += [f"{name},{name}.ome.tif,DAPI,CD45,," for name in ("one", "nan", "two")]
    rows += ["text,text.tif,0,none,0.5,d4"]
    (folder / "samplesheet.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def make_many(folder: Path) -> None:
    """Enough small images for a task to start worker processes."""
    rows = ["sample,image,nuclear_channel,membrane_channel"]
    for number in range(18):
        write_image(folder / f"{number}.ome.tif", number, **MPP)
        rows.append(f"s{number},{number}.ome.tif,DAPI,CD45")
    (folder / "samplesheet.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def repair(folder: Path) -> None:
    """Put sound images in place of those that a run left out."""
    tifffile.imwrite(folder.parent / "broken" / "text.tif", draw_spots(9)[0])
    write_image(folder.parent / "broken" / "nan.ome.tif", 8, **MPP)


SETS: dict[str, Callable[[Path], None]] = {
    "faults": make_faults,
    "names": make_names,
    "empty": make_empty,
    "broken": make_broken,
    "many": make_many,
    "repaired": repair,
}


def main() -> None:
    """Make one set in a folder of its name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=sorted(SETS))
    name = parser.parse_args().set
    folder = Path(name)
    folder.mkdir()
    SETS[name](folder)


if __name__ == "__main__":
    main()
