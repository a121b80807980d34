"""Small sound inputs of every kind, from which the fuzzer makes its mutants."""

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image

Seed = tuple[str, bytes]
NAMES = {"axes": "CYX", "Channel": {"Name": ["DAPI", "CD45"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
SHEET = (
    "sample,image,nuclear_image,membrane_image,nuclear_channel,membrane_channel,image_mpp,donor\r\n"
    'a,x.tif,,,DAPI,"max(PanCK,CD45)",0.5,"7, left"\r\nb,,n.tif,m.tif,0,,,\r\n'
    'c,folder [1],,,"norm(""CD8 (a)"")",none,1,\r\n'
)
RECIPES = (
    "DAPI",
    "0",
    "max(PanCK,CD45)",
    "sum(norm(CD8), norm(CD20), 3)",
    "mean(\"CD20 (L26)\",max(DAPI,'a''b'))",
    "norm(DAPI)",
)


def _pixels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(len(shape))
    values = rng.integers(0, 200, shape) if np.dtype(dtype).kind in "ui" else rng.normal(size=shape)
    return values.astype(dtype)


def tiffs() -> Iterator[Seed]:
    """TIFF dialects, byte orders, layouts and codecs."""
    layouts: list[tuple[str, str, tuple[int, ...], dict]] = [
        ("ome.tif", "uint16", (2, 40, 50), {"metadata": NAMES, "ome": True}),
        ("ome.tif", "uint8", (2, 64, 64), {"metadata": NAMES, "ome": True, "tile": (32, 32), "compression": "zlib"}),
        ("tif", "float32", (3, 30, 20), {"byteorder": ">", "metadata": None}),
        ("tif", "uint8", (48, 64), {"tile": (16, 16), "compression": "lzw", "predictor": True}),
        ("tif", "uint8", (48, 64), {"tile": (16, 16), "compression": "jpeg"}),
        ("tif", "uint16", (48, 64), {"rowsperstrip": 7, "compression": "zstd"}),
        ("tif", "int16", (1, 9), {"bigtiff": True}),
        (
            "tif",
            "uint16",
            (3, 30, 20),
            {"imagej": True, "metadata": {"axes": "CYX", "unit": "um"}, "resolution": (2, 2)},
        ),
        ("tif", "uint8", (3, 30, 20), {"planarconfig": "separate", "photometric": "rgb"}),
        ("tif", "float64", (5, 7), {"compression": "packbits"}),
    ]
    for index, (suffix, dtype, shape, options) in enumerate(layouts):
        stream = io.BytesIO()
        photometric = options.pop("photometric", "minisblack")
        tifffile.imwrite(stream, _pixels(shape, dtype), photometric=photometric, **options)
        yield f"{index}.{suffix}", stream.getvalue()
    for name in ("stack", "plane"):
        stream = io.BytesIO()
        options = {"photometric": "minisblack", "ome": True, "metadata": {**NAMES, "axes": "ZCYX"}}
        tifffile.imwrite(stream, _pixels((3, 2, 20, 30), "uint16"), **options)
        yield f"{name}.ome.tif", stream.getvalue()
    stream = io.BytesIO()
    tifffile.imwrite(stream, _pixels((40, 30, 3), "uint8"), photometric="rgb", tile=(16, 16), compression="zlib")
    yield "colour.tif", stream.getvalue()


def arrays() -> Iterator[Seed]:
    """NPY and NPZ."""
    for index, (shape, dtype) in enumerate([((2, 9, 8), ">u2"), ((7, 5), "float32"), ((1, 1, 9), "bool")]):
        stream = io.BytesIO()
        np.save(stream, _pixels(shape, dtype))
        yield f"{index}.npy", stream.getvalue()
    for index, save in enumerate((np.savez, np.savez_compressed)):
        stream = io.BytesIO()
        save(stream, image=_pixels((6, 7, 2), "uint16"), channel_names=["a", "b"], image_mpp=0.5, axes="YXC")
        yield f"{index}.npz", stream.getvalue()


def pictures() -> Iterator[Seed]:
    """Grey and colour PNG and JPEG."""
    for index, (mode, dtype, kind) in enumerate(
        [("L", "uint8", "png"), ("I;16", "uint16", "png"), ("L", "uint8", "jpeg")]
    ):
        stream = io.BytesIO()
        picture = Image.fromarray(_pixels((20, 30), dtype))
        assert picture.mode == mode
        picture.save(stream, kind)
        yield f"{index}.{kind}", stream.getvalue()


def zarrs() -> Iterator[Seed]:
    """OME-Zarr 0.4 and 0.5 as archives of their files."""
    axes = [{"name": "c", "type": "channel"}] + [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    scale = {"type": "scale", "scale": [1, 0.5, 0.5]}
    scales = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}]
    channels = {"channels": [{"label": "DAPI"}, {"label": "CD45"}]}
    for version in (2, 3):
        folder = Path(tempfile.mkdtemp())
        group = zarr.create_group(folder / "z", zarr_format=version)
        sharded = {"shards": (2, 16, 16)} if version == 3 else {}
        array = group.create_array("0", shape=(2, 20, 24), chunks=(1, 8, 8), dtype="uint16", **sharded)
        array[:] = _pixels((2, 20, 24), "uint16")
        metadata = {"multiscales": scales, "omero": channels}
        group.attrs.update(metadata if version == 2 else {"ome": {"version": "0.5", **metadata}})
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for path in sorted((folder / "z").rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder / "z").as_posix())
        shutil.rmtree(folder)
        yield f"{version}.zarr", stream.getvalue()


def archives() -> Iterator[Seed]:
    """Zip archives of images."""
    for index, method in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr("a/one.npy", next(iter(arrays()))[1])
            archive.writestr("two.tif", list(tiffs())[3][1])
        yield f"{index}.zip", stream.getvalue()


def sheets() -> Iterator[Seed]:
    """Samplesheets."""
    yield "sheet.csv", SHEET.encode()
    yield "bom.csv", ("\ufeff" + SHEET.replace("\r\n", "\n")).encode()


def tables() -> Iterator[Seed]:
    """Tables of markers."""
    yield "markers.csv", b'channel_number,cycle_number,marker_name\r\n1,1,DNA\r\n2,1,"a, b"\r\n3,2,CD8\r\n'
    yield "panel.csv", b"channel,name,keep,deepcell\nIr191,DNA1,1,1\nIr193,DNA2,1,1\nPr141,CK,1,2\nX,Gone,0,\n"


def recipes() -> Iterator[Seed]:
    """Channel recipes."""
    for index, recipe in enumerate(RECIPES):
        yield f"{index}.recipe", recipe.encode()


def manifests() -> Iterator[Seed]:
    """The demo model's manifest."""
    root = Path(__file__).resolve().parents[2]
    yield "manifest.json", (root / "assets" / "models" / "demo" / "manifest.json").read_bytes()


def parameters() -> Iterator[Seed]:
    """Parameters of a run."""
    values = {
        "input": "a.csv",
        "outdir": "r",
        "image_mpp": 0.5,
        "radius": "3",
        "compartment": "nuclear",
        "tile_batch": 4,
    }
    yield "parameters.json", json.dumps(values).encode()


KINDS: dict[str, Callable[[], Iterator[Seed]]] = {
    "tiff": tiffs,
    "array": arrays,
    "picture": pictures,
    "zarr": zarrs,
    "zip": archives,
    "sheet": sheets,
    "markers": tables,
    "recipe": recipes,
    "manifest": manifests,
    "parameters": parameters,
}


def seeds_of(kind: str, folder: Path | None = None) -> list[Seed]:
    """Seeds of one kind; for TIFF also the real files below ``folder`` that are smaller than 300 kB."""
    found = list(KINDS[kind]())
    if kind == "tiff" and folder is not None:
        files = sorted(path for path in folder.rglob("*.tif*") if path.stat().st_size < 300_000)
        found += [(path.name, path.read_bytes()) for path in files]
    return found
