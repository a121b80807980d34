"""Draw a slide of any size block by block: a tiled, compressed, pyramidal OME-TIFF that never lies in memory.

python benchmarks/make_slide.py slide.ome.tif --side 16384
"""

import argparse
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

ROOT = Path(__file__).resolve().parents[1]
TILE_PX = 512
FIELD_PX = 1024
MPP = 0.5
SMALLEST_LEVEL_PX = 2048
COARSE = 0xFE00


def draw_field() -> np.ndarray:
    """One drawn field (C, Y, X), uint16."""
    with tempfile.TemporaryDirectory() as folder:
        script = ROOT / "training" / "draw_tissue.py"
        sizes = ["--count", "1", "--size", str(FIELD_PX), "--seed", "4"]
        subprocess.run([sys.executable, str(script), "--outdir", folder, *sizes], check=True, capture_output=True)
        return tifffile.imread(next(Path(folder).glob("*.ome.tif"))).astype(np.uint16)


class Slide:
    """A mosaic of one field, mirrored in turn so that it is continuous, brighter and darker from place to place.

    Parameters
    ----------
    field : (C, Y, X) uint16; further channels repeat its own
    channels, shape : size of the slide, (Y, X)
    fine : channels that keep all grey levels; those behind them keep few, so that they take little room
    """

    def __init__(self, field: np.ndarray, channels: int, shape: tuple[int, int], fine: int) -> None:
        self._field, self.channels, self.shape, self._fine = field, channels, shape, fine

    def tile(self, channel: int, y: int, x: int, step: int) -> np.ndarray:
        """Pixels of a tile that begins at (y, x) of the level that shows every ``step``-th pixel."""
        rows, columns = (np.arange(start * step, (start + TILE_PX) * step, step) for start in (y, x))
        down, across = (
            np.minimum(at % (2 * FIELD_PX), 2 * FIELD_PX - 1 - at % (2 * FIELD_PX)) for at in (rows, columns)
        )
        gain = 1 + ((rows // FIELD_PX)[:, None] * 7 + (columns // FIELD_PX)[None, :] * 5) % 11 / 16
        pixels = (self._field[channel % len(self._field)][np.ix_(down, across)] * gain).astype(np.uint16)
        return pixels if channel < self._fine else pixels & np.uint16(COARSE)

    def tiles(self, step: int) -> Iterator[np.ndarray]:
        """All tiles of a level, channel after channel, in raster order."""
        height, width = (-(-size // step) for size in self.shape)
        for channel in range(self.channels):
            for y in range(0, height, TILE_PX):
                for x in range(0, width, TILE_PX):
                    yield self.tile(channel, y, x, step)

    def encoded_tiles(self, level: int) -> Iterator[bytes]:
        """All tiles of the full resolution as they are stored; channels that are not fine repeat one tile."""
        height, width = self.shape
        for channel in range(self.channels):
            repeated = encode(self.tile(channel, 0, 0, 1), level) if channel >= self._fine else None
            for y in range(0, height, TILE_PX):
                for x in range(0, width, TILE_PX):
                    yield repeated or encode(self.tile(channel, y, x, 1), level)


def encode(tile: np.ndarray, level: int) -> bytes:
    """Compress a tile with zlib, after horizontal differences."""
    differences = np.diff(tile, axis=1, prepend=np.zeros((len(tile), 1), tile.dtype))
    return zlib.compress(differences.astype("<u2").tobytes(), level)


def write_slide(slide: Slide, path: Path, *, is_flat: bool = False, level: int = 1) -> None:
    """Write a slide with its pyramid, or without one, its channels that are not fine repeating one tile.

    ``level`` is zlib's.
    """
    shape, channels = slide.shape, slide.channels
    steps = [1]
    while not is_flat and max(shape) // steps[-1] > SMALLEST_LEVEL_PX:
        steps.append(2 * steps[-1])
    names = [
        ("DAPI", "CD45", "PanCK", "CD3")[channel] if channel < 4 else f"marker {channel}" for channel in range(channels)
    ]
    metadata = {"axes": "CYX", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "Channel": {"Name": names}}
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for step in steps:
            tif.write(
                slide.encoded_tiles(level) if is_flat else slide.tiles(step),
                shape=(channels, *(-(-size // step) for size in shape)),
                dtype=np.uint16,
                photometric="minisblack",
                tile=(TILE_PX, TILE_PX),
                compression="zlib",
                compressionargs={"level": level},
                predictor=True,
                maxworkers=2,
                **(
                    {"subifds": len(steps) - 1, "metadata": metadata}
                    if step == 1
                    else {"subfiletype": 1, "metadata": None}
                ),
            )


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--side", type=int, required=True, help="width, and height unless given")
    parser.add_argument("--height", type=int)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--fine", type=int, default=4, help="channels with all their grey levels")
    parser.add_argument(
        "--flat", action="store_true", help="no pyramid, and channels that are not fine repeat one tile"
    )
    options = parser.parse_args()
    shape = (options.height or options.side, options.side)
    write_slide(Slide(draw_field(), options.channels, shape, options.fine), options.path, is_flat=options.flat)
    print(f"{options.path}: {options.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
