"""What the plan asks for is what the phases take, for images of any form; ``benchmarks/any_size.py`` has large ones."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
# held in memory, and just too large for that: tall and wide; none of them is a size that the projection was fitted to
SHAPES = ((400, 300), (5300, 800), (800, 5300))


def draw(path: Path, shape: tuple[int, int]) -> None:
    """Write an image with a cell every 20 px or so, in tiles."""
    rng = np.random.default_rng(2)
    seeds = (rng.random(shape) < 1 / 400).astype(np.float32)
    planes = [ndimage.gaussian_filter(seeds, sigma) for sigma in (3, 5)]
    image = np.stack([plane / plane.max() * 9000 + rng.integers(0, 200, shape) for plane in planes]).astype(np.uint16)
    path.parent.mkdir(parents=True)
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Channel": {"Name": ["DAPI", "CD45"]}}
    tifffile.imwrite(path, image, photometric="minisblack", tile=(512, 512), compression="zlib", metadata=metadata)


def test_every_phase_keeps_what_the_plan_promises(tmp_path):
    names = ["x".join(map(str, shape)) for shape in SHAPES]
    for name, shape in zip(names, SHAPES, strict=True):
        draw(tmp_path / name / "images" / "1" / "slide.ome.tif", shape)
    command = [sys.executable, str(ROOT / "benchmarks" / "any_size.py"), "--outdir", str(tmp_path)]
    command += ["--shapes", ",".join(names), "--forked"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("\n") == 1 + 4 * len(SHAPES)
    assert "BROKEN" not in result.stdout
