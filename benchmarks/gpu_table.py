"""Figures of a GPU at each precision: time per tile, busy share, heads and labels beside those of the CPU.

    python benchmarks/gpu_table.py --model demo --side 2048

Without a usable NVIDIA GPU it stops with exit code 64. The share in which the GPU works needs the extra ``gpu``.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellbatch.cli import run
from cellbatch.errors import ConfigError
from cellbatch.inference.blending import extract_tile
from cellbatch.inference.engine import PRECISIONS
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel, make_grid
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.segment_image import segment_loaded
from cellbatch.preprocessing import preprocess
from cellbatch.reporting.timings import Timings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))

from draw_tissue import draw_tissue

HEADER = ("precision", "ms per tile", "image, s", "GPU busy", "heads differ by", "px with another label", "objects")


@dataclass(frozen=True)
class Work:
    """An image, its tiles as one call of the network takes them, and what the CPU makes of them."""

    image: np.ndarray
    image_mpp: float
    tiles: np.ndarray
    heads: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]


def make_work(model: Path, side: int, tile_batch: int) -> Work:
    """Draw tissue and run it on the CPU."""
    cpu = LoadedModel(model, InferenceOptions(device="cpu", threads=8))
    manifest = cpu.manifest
    image = draw_tissue((side, side), np.random.default_rng(5)).image[..., : len(manifest.channels)]
    options = manifest.preprocessing
    ready = preprocess(
        image.astype(np.float32), percentile=options.percentile, clahe_kernel_size=options.clahe_kernel_size
    )
    grid = make_grid(ready.shape[:2], manifest)
    tiles = np.stack([extract_tile(ready, grid, at % len(grid), manifest.tile_padding) for at in range(tile_batch)])
    heads = {name: head.copy() for name, head in cpu.engine.predict(tiles).items()}
    return Work(image, manifest.model_mpp, tiles, heads, segment_loaded(image, manifest.model_mpp, cpu))


def measure(model: Path, precision: str, work: Work, repeats: int) -> tuple[str, ...]:
    """One row of the table."""
    loaded = LoadedModel(model, InferenceOptions(device="gpu", precision=precision, tile_batch=len(work.tiles)))
    loaded.warm_up()
    seconds = []
    for _ in range(repeats):
        clock = Timings.clock()
        heads = loaded.engine.predict(work.tiles)
        seconds.append(clock() / len(work.tiles))
    since = loaded.gpu.mark() if loaded.gpu else None
    clock = Timings.clock()
    labels = segment_loaded(work.image, work.image_mpp, loaded)
    whole_s = clock()
    busy = loaded.gpu.busy_since(since) if loaded.gpu and since else None
    worst = max(float(np.abs(heads[name] - expected).max()) for name, expected in work.heads.items())
    differing = sum(int((labels[name] != expected).sum()) for name, expected in work.labels.items())
    return (
        precision,
        f"{1000 * statistics.median(seconds):.2f}",
        f"{whole_s:.2f}",
        "not asked" if busy is None else f"{busy:.0%}",
        f"{worst:.1e}",
        f"{differing} of {sum(expected.size for expected in work.labels.values())}",
        " and ".join(str(int(found.max())) for found in labels.values()),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo", help="name or prepared folder")
    parser.add_argument("--side", type=int, default=2048, help="px of the drawn image")
    parser.add_argument("--tile_batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    model = find_model(options.model)
    # before anything else is done: is there a GPU?
    gpu = LoadedModel(model, InferenceOptions(device="gpu"))
    print(f"{gpu.gpu.name if gpu.gpu else 'GPU'}, {gpu.manifest.name}, {options.tile_batch} tiles per call")
    work = make_work(model, options.side, options.tile_batch)
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for precision in PRECISIONS:
        try:
            print(f"| {' | '.join(measure(model, precision, work, options.repeats))} |")
        except ConfigError as error:
            print(f"| {precision} | {error} |")


if __name__ == "__main__":
    sys.exit(run(main))
