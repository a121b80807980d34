"""Bytes per pixel and speed of the heads' hand-off: raw, compressed without loss in several ways, at half precision.

python benchmarks/handoffs.py HEADS.zip (a hand-off of INFER_TILES, such as any_size.py leaves)
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
from results import Results, add_csv_option

from cellbatch.io.handoffs import HandoffReader
from cellbatch.io.models import read_manifest
from cellbatch.phases.model_shelves import find_model
from cellbatch.postprocessing.watershed import deep_watershed
from cellbatch.spec import Window

ROWS, COLUMNS = 256, 1024
MEASURED = (
    *("map", "type", "codec", "bytes_px", "in_mb_s", "out_mb_s"),
    *("foreground_px", "differing_px", "more_cells"),
)
Codec = tuple[Callable[[np.ndarray], bytes], Callable[[bytes], object]]


def blosc(compressor: str, shuffle: str, level: int) -> Codec:
    """Make an encoder and a decoder with one thread."""
    options = {"level": level, "compressor": compressor, "shuffle": shuffle, "numthreads": 1}
    return (
        lambda values: imagecodecs.blosc_encode(values.tobytes(), typesize=values.itemsize, **options),
        lambda data: imagecodecs.blosc_decode(data, numthreads=1),
    )


CODECS: dict[str, Codec] = {
    "raw": (lambda values: values.tobytes(), lambda data: np.frombuffer(data, np.float32).copy()),
    "lz4 1, bytes shuffled": blosc("lz4", "shuffle", 1),
    "lz4 5, bytes shuffled": blosc("lz4", "shuffle", 5),
    "lz4 1, bits shuffled": blosc("lz4", "bitshuffle", 1),
    "zstd 1, bytes shuffled": blosc("zstd", "shuffle", 1),
    "zstd 1, bits shuffled": blosc("zstd", "bitshuffle", 1),
    "zstd 5, bytes shuffled": blosc("zstd", "shuffle", 5),
}


def measure(blocks: list[np.ndarray], codec: Codec) -> tuple[float, float, float]:
    """Bytes per value, and MB/s of values in and out."""
    encode, decode = codec
    count = sum(block.size for block in blocks)
    clock = time.perf_counter()
    stored = [encode(block) for block in blocks]
    encode_s = time.perf_counter() - clock
    clock = time.perf_counter()
    for data in stored:
        decode(data)
    decode_s = time.perf_counter() - clock
    size = sum(block.nbytes for block in blocks) / 1e6
    return sum(map(len, stored)) / count, size / encode_s, size / decode_s


def count_differences(maps: dict[str, np.ndarray], compartment: str) -> tuple[int, int, int]:
    """Pixels whose label differs at half precision, foreground pixels, and the difference in the number of cells."""
    options = asdict(read_manifest(find_model("demo")).compartments[compartment].watershed)
    whole, half = (
        deep_watershed(
            *(maps[head].astype(kind).astype(np.float32) for head in ("inner_distance", "interior")), **options
        )
        for kind in (np.float32, np.float16)
    )
    pairs = whole.astype(np.int64) * (int(half.max()) + 1) + half
    values, counts = np.unique(pairs, return_counts=True)
    partner: dict[int, int] = {}
    for value, _ in sorted(zip(values, counts, strict=True), key=lambda one: one[1]):
        partner[int(value) // (int(half.max()) + 1)] = int(value) % (int(half.max()) + 1)
    lookup = np.array([partner.get(label, 0) for label in range(int(whole.max()) + 1)])
    return int((lookup[whole] != half).sum()), int((whole > 0).sum()), int(half.max()) - int(whole.max())


def main() -> None:
    """Print a row per codec and map, then what half precision does to the labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path)
    parser.add_argument("--side", type=int, default=2048, help="px of the part that is looked at")
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, MEASURED)
    with HandoffReader(options.heads) as handoff:
        sample = handoff.samples()[0]
        names = handoff.names(sample)
        height, width = handoff.shape(sample, names[0])
        window = Window(0, min(height, options.side), 0, min(width, options.side))
        maps = {name: handoff.read(sample, name, window) for name in names}
    print(f"{'map':<38}{'codec':<24}{'bytes_px':>9}{'in_mb_s':>9}{'out_mb_s':>9}")
    for name, kind in product(maps, (np.float32, np.float16)):
        values = maps[name].astype(kind)
        rows, columns = (range(0, size, step) for size, step in zip(values.shape, (ROWS, COLUMNS), strict=True))
        blocks = [np.ascontiguousarray(values[y : y + ROWS, x : x + COLUMNS]) for y in rows for x in columns]
        for codec, functions in CODECS.items():
            size, speed_in, speed_out = measure(blocks, functions)
            shown = f"{name} as {values.dtype}"
            print(f"{shown:<38}{codec:<24}{size:>9.2f}{speed_in:>9.0f}{speed_out:>9.0f}", flush=True)
            found = {"bytes_px": size, "in_mb_s": speed_in, "out_mb_s": speed_out}
            results.add(map=name, type=values.dtype, codec=codec, **found)
    for compartment in ("whole_cell", "nuclear"):
        both = {head: maps[f"{compartment}_{head}"] for head in ("inner_distance", "interior")}
        pixels, foreground, cells = count_differences(both, compartment)
        found = {"foreground_px": foreground, "differing_px": pixels, "more_cells": cells}
        results.add(map=compartment, type="float16", codec="", **found)
        print(f"float16, {compartment}: {pixels} of {foreground} foreground px differ, {cells:+d} cells")


if __name__ == "__main__":
    main()
