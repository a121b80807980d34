"""Labels of one image cut in every way: shards, blocks, crops with context; all must equal those of the whole.

python benchmarks/equal_labels.py --outdir equal --side 8192 --fields drawn
python benchmarks/equal_labels.py --outdir equal --side 8192 --fields ../shared/data/images

The image is a mosaic of drawn fields, or of rectangles of the real images of a folder (``*/nuc_mem.ome.tif``), placed
at random and neither mirrored nor turned. Ends with exit code 1 if a single pixel differs.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tifffile
from results import Results, add_csv_option

from cellbatch.io.model_sources import describe_source
from cellbatch.io.models import read_manifest
from cellbatch.phases.handoff_files import open_heads
from cellbatch.phases.infer_tiles import infer_batch
from cellbatch.phases.loaded_model import HEAD_NAMES, InferenceOptions
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.prepare_model import prepare_model
from cellbatch.phases.preprocess_images import preprocess_images
from cellbatch.phases.segment_crop import segment_crop
from cellbatch.planning.shards import Shard
from cellbatch.postprocessing.blocks import BlockOptions, BlockReport, label_by_blocks
from cellbatch.postprocessing.watershed import deep_watershed
from cellbatch.spec import Batch, ImageSource, SampleSpec, Window

ROOT = Path(__file__).resolve().parents[1]
FIELD_PX = 1024
DRAWN_FIELDS = 12
SMALLEST_PX = 192
COLUMNS = (
    *("fields", "side_px", "cut", "compartment", "is_equal", "objects"),
    *("blocks", "widened", "uncertified", "is_redone", "elapsed_s"),
)


def read_fields(source: str) -> list[np.ndarray]:
    """Fields (2, Y, X) uint16 of about the same brightness."""
    if source == "drawn":
        with tempfile.TemporaryDirectory() as folder:
            script, sizes = ROOT / "training" / "draw_tissue.py", ["--count", str(DRAWN_FIELDS), "--seed", "9"]
            command = [sys.executable, str(script), "--outdir", folder, "--size", str(FIELD_PX), *sizes]
            subprocess.run(command, check=True, capture_output=True)
            return [tifffile.imread(path) for path in sorted(Path(folder).glob("*.ome.tif"))]
    fields = []
    for path in sorted(Path(source).glob("*/nuc_mem.ome.tif")):
        image = tifffile.imread(path).astype(np.float64)
        if image.ndim == 3 and len(image) == 2 and min(image.shape[1:]) >= SMALLEST_PX:
            top = np.maximum(np.percentile(image, 99.9, axis=(1, 2), keepdims=True), 1e-9)
            fields.append((np.clip(image / top, 0, 4) * 10_000).astype(np.uint16))
    return fields


def draw_mosaic(path: Path, fields: list[np.ndarray], side: int) -> None:
    """Cover a square with rectangles of the fields."""
    rng = np.random.default_rng(7)
    mosaic = np.zeros((2, side, side), np.uint16)
    y = 0
    while y < side:
        height, x = int(rng.integers(SMALLEST_PX, FIELD_PX)), 0
        while x < side:
            field = fields[rng.integers(len(fields))]
            rows, columns = min(height, field.shape[1]), min(int(rng.integers(SMALLEST_PX, FIELD_PX)), field.shape[2])
            top, left = (
                int(rng.integers(size - used + 1)) for size, used in zip(field.shape[1:], (rows, columns), strict=True)
            )
            part = field[:, top : top + rows, left : left + columns]
            place = mosaic[:, y : y + rows, x : x + columns]
            place[:] = part[:, : place.shape[1], : place.shape[2]]
            x += columns
        y += height
    tifffile.imwrite(path, mosaic, photometric="minisblack", tile=(512, 512), compression="zlib", maxworkers=1)


class Case:
    """One image with its hand-offs.

    Parameters
    ----------
    folder : gets all files
    fields, side : what the image is made of, and its size
    """

    def __init__(self, folder: Path, fields: str, side: int) -> None:
        self.folder, self.shape, self.model = folder, (side, side), folder / "model"
        path = folder / "images" / "1" / "a.tif"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_mosaic(path, read_fields(fields), side)
        if not self.model.exists():
            prepare_model(describe_source(find_model("demo")), self.model)
        self.pixels = folder / "b.pixels.zip"
        sample = SampleSpec("s", (ImageSource("image", 1),), self.shape, 0.5, "0", "1", ("", ""), "uint16")
        if not self.pixels.exists():
            preprocess_images(Batch("b", (sample,)), folder / "images", self.model, self.pixels)
        selected = read_manifest(self.model).selected("both")
        self.options = {name: spec.watershed for name, spec in selected.items()}

    def infer(self, count: int) -> list[Path]:
        """Heads in this many shards."""
        size = -(-self.shape[0] * self.shape[1] // count)
        paths = [self.folder / f"b.{index}.of{count}.zip" for index in range(count)]
        for index, path in enumerate(paths):
            if not path.exists():
                infer_batch(self.pixels, self.model, path, InferenceOptions(), shard=Shard(index, size))
        return paths

    def maps(self, paths: list[Path], name: str) -> list:
        """Inner distance and interior of a compartment, read by rectangles."""
        return [open_heads(paths, "s", f"{name}_{head}") for head in HEAD_NAMES]


def same_heads(case: Case, first: list[Path], second: list[Path]) -> bool:
    """Whether two ways to cut give the same bits."""
    height, width = case.shape
    pairs = [
        pair for name in case.options for pair in zip(case.maps(first, name), case.maps(second, name), strict=True)
    ]
    return all(
        np.array_equal(one[y : y + 512, 0:width].view(np.uint32), other[y : y + 512, 0:width].view(np.uint32))
        for one, other in pairs
        for y in range(0, height, 512)
    )


@dataclass(frozen=True)
class Answer:
    """Whether one way to cut gives the labels of the whole; ``objects`` are those of the whole."""

    cut: str
    compartment: str
    is_equal: bool
    objects: int | None = None
    report: BlockReport | None = None

    @property
    def text(self) -> str:
        """Show it as a line."""
        how, report = "", self.report
        if report:
            how = f" ({report.widened} of {report.blocks} widened, {len(report.uncertified)} uncertified)"
            how = " (exact ties: the whole image redone)" if report.is_redone else how
        return f"{'equal' if self.is_equal else 'DIFFERENT'}  {self.cut}, {self.compartment}{how}"


def compare(case: Case, shards: list[int], blocks: list[int], crops: int) -> Iterator[Answer]:
    """Every way to cut, and whether its labels are those of the whole."""
    whole_paths = case.infer(1)
    whole, objects = {}, {}
    for name, options in case.options.items():
        maps = [np.asarray(one[0 : case.shape[0], 0 : case.shape[1]]) for one in case.maps(whole_paths, name)]
        whole[name] = deep_watershed(*maps, **asdict(options))
        del maps
        objects[name] = int(whole[name].max())
        print(f"{name}: {objects[name]} objects in the whole image", flush=True)
    for core_px in blocks:
        for name, options in case.options.items():
            labels = np.zeros(case.shape, np.uint32)
            report = label_by_blocks(*case.maps(whole_paths, name), labels, options, BlockOptions(core_px))
            is_equal = np.array_equal(labels, whole[name])
            yield Answer(f"blocks of {core_px} px", name, is_equal, objects[name], report)
    rng = np.random.default_rng(3)
    for _ in range(crops):
        size, (y, x) = int(rng.integers(100, 1200)), rng.integers(0, case.shape[0] - 1200, 2).tolist()
        window = Window(y, y + size, x, x + size)
        for name, found in segment_crop(case.pixels, "s", window, case.model).items():
            expected = np.unique(np.append(whole[name][window.slices], 0), return_inverse=True)[1][:-1]
            is_equal = np.array_equal(found, expected.reshape(found.shape))
            yield Answer(f"crop {tuple(window)}", name, is_equal)
    for count in shards:
        paths = case.infer(count)
        yield Answer(f"heads of {count} shards", "both", same_heads(case, whole_paths, paths))
        for name, options in case.options.items():
            labels = np.zeros(case.shape, np.uint32)
            label_by_blocks(*case.maps(paths, name), labels, options)
            yield Answer(f"labels of {count} shards", name, np.array_equal(labels, whole[name]), objects[name])
        for path in paths:
            path.unlink()


def main() -> None:
    """Print a line per way to cut."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--fields", default="drawn", help="'drawn', or a folder of real images")
    parser.add_argument("--shards", default="2,3,7")
    parser.add_argument("--blocks", default="256,512,1024,1536,2048,4096")
    parser.add_argument("--crops", type=int, default=12)
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, COLUMNS)
    shards, blocks = (list(map(int, text.split(","))) for text in (options.shards, options.blocks))
    start, answers = time.perf_counter(), []
    fields = "drawn" if options.fields == "drawn" else "real"
    for answer in compare(Case(options.outdir, options.fields, options.side), shards, blocks, options.crops):
        print(answer.text, flush=True)
        answers.append(answer.is_equal)
        found = {"cut": answer.cut, "compartment": answer.compartment, "is_equal": answer.is_equal}
        found |= {"objects": answer.objects, "elapsed_s": time.perf_counter() - start}
        if answer.report:
            found |= {"blocks": answer.report.blocks, "widened": answer.report.widened}
            found |= {"uncertified": len(answer.report.uncertified), "is_redone": answer.report.is_redone}
        results.add(fields=fields, side_px=options.side, **found)
    print(f"{sum(answers)} of {len(answers)} equal, {time.perf_counter() - start:.0f} s")
    sys.exit(not all(answers))


if __name__ == "__main__":
    main()
