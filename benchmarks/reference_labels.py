"""Labels of DeepCell's applications against ours, with one and the same network, on real images.

    python benchmarks/reference_labels.py --reference REFERENCE/bin/python --data ../shared/data/images --outdir labels

``benchmarks/reference_applications.py`` runs the applications as they are, in the reference environment, with the demo
network rebuilt there. Ours are made once more from the heads that the reference's network gave for each tile: then the
tiles, the blending and the labels are compared without the two runtimes' rounding.
"""

import argparse
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from cellbatch.inference.engine import Engine
from cellbatch.io.images import open_image
from cellbatch.io.models import read_manifest
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.segment_image import segment_loaded
from cellbatch.spec import COMPARTMENTS

APPLICATIONS = Path(__file__).with_name("reference_applications.py")
# applications by the channels of an image
OF_CHANNELS = {2: ("mesmer",), 1: ("nuclear", "cytoplasm")}
Image = tuple[np.ndarray, float]


def read_images(data: Path) -> dict[str, Image]:
    """Nuclear and membrane channel, float32 (Y, X, 2), and µm per px; 0.5 where nobody says."""
    found: dict[str, Image] = {}
    sizes = {"mibi_breast_fov8": 0.390625, "imc_mock": 1.0, "cycif_exemplar001": 0.65, "mibi_tb_granuloma": 0.49}
    for path in sorted(data.glob("*/nuc_mem.ome.tif")):
        name = path.parent.name
        with open_image(path) as image:
            pixels = np.stack([image.read(0), image.read(1)], axis=-1)
            found[name] = (pixels, sizes.get(name) or image.header.image_mpp or 0.5)
    for path in sorted((data / "imc_mock/orig").glob("ome__*.ome.tiff")):
        with open_image(path) as image:
            names = image.header.channel_names
            wanted = [names.index(channel) for channel in ("Yb172_H3K27Ac", "Pr141_Cytokeratin 5")]
            pixels = np.stack([image.read(index) for index in wanted], axis=-1)
        found[path.name.split(".")[0]] = (pixels, 1.0)
    for path in (data / "stardist_nuclei/img2d.tif", data / "cycif_dna_tissue/test.tiff"):
        plane = tifffile.imread(path)
        found[path.parent.name] = (np.stack([plane, np.zeros_like(plane)], axis=-1), 0.5)
    return {name: (pixels.astype(np.float32), mpp) for name, (pixels, mpp) in found.items()}


class AsDeepcells:
    """The demo network with the heads, and in the order, that ``reference_applications.build_networks`` gives it."""

    def __init__(self, engine: Engine, channels: int) -> None:
        self.device, self.outputs = engine.device, tuple(f"head_{index}" for index in range(4 if channels == 2 else 3))
        self._engine = engine

    def predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Heads by output name."""
        two = tiles if tiles.shape[-1] == 2 else np.concatenate([tiles, np.zeros_like(tiles)], axis=-1)
        heads = self._engine.predict(two)
        found = [heads[f"{place}_{head}"] for place in COMPARTMENTS for head in ("inner_distance", "pixelwise")]
        if tiles.shape[-1] == 1:
            found = [found[2], found[2], found[3][..., 1:3]]
        return dict(zip(self.outputs, found, strict=True))


class Replay:
    """The reference's heads for the tiles that it was given; an unknown tile is an error."""

    def __init__(self, stored: dict[str, np.ndarray], outputs: tuple[str, ...]) -> None:
        heads = [stored[f"head_{index}"] for index in range(len(outputs))]
        self.device, self.outputs = "cpu", outputs
        self._heads = {
            tile.tobytes(): [head[at] for head in heads] for at, tile in enumerate(stored["tiles"].astype(np.float32))
        }

    def predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Heads by output name."""
        known = [self._heads[tile.tobytes()] for tile in tiles]
        return {name: np.stack([heads[at] for heads in known]) for at, name in enumerate(self.outputs)}


def load_application(name: str) -> LoadedModel:
    """Load the demo network with the manifest of an application of DeepCell's."""
    loaded = LoadedModel(find_model("demo"), InferenceOptions(device="cpu", threads=2))
    loaded.manifest = read_manifest(find_model(name))
    loaded.engine = AsDeepcells(loaded.engine, len(loaded.manifest.channels))
    return loaded


def close_gaps(labels: np.ndarray) -> np.ndarray:
    """Renumber without gaps, in the same order: small labels may lose all their pixels on the way to the image."""
    present, positions = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
    return (positions[:-1] - int(np.searchsorted(present, 0))).reshape(labels.shape)


def count_differences(ours: dict[str, np.ndarray], labels: np.ndarray) -> list[int]:
    """Pixels per compartment with another label."""
    return [int((found != close_gaps(labels[..., at])).sum()) for at, found in enumerate(ours.values())]


def largest_difference(engine: Engine, stored: dict[str, np.ndarray]) -> float:
    """Largest difference of our network's heads from the reference's, for the very tiles of the reference."""
    worst = 0.0
    for at, tile in enumerate(stored["tiles"]):
        heads = engine.predict(tile[None].astype(np.float32))
        for index, name in enumerate(engine.outputs):
            worst = max(worst, float(np.abs(heads[name][0] - stored[f"head_{index}"][at]).max()))
    return worst


def compare(folder: Path, images: dict[str, Image], report: Callable[[str], object]) -> tuple[int, int]:
    """Report every image; how many pixels differ, and how many differ although the heads are the same."""
    total = unexplained = 0
    for application in (name for names in OF_CHANNELS.values() for name in names):
        loaded = load_application(application)
        for name, (pixels, mpp) in images.items():
            if application not in OF_CHANNELS[pixels.shape[2]]:
                continue
            with np.load(folder / f"{name}.reference.npz") as arrays:
                stored = dict(arrays)
            labels = stored[f"labels_{application}"]
            differing = count_differences(segment_loaded(pixels, mpp, loaded), labels)
            replayed = load_application(application)
            replayed.engine = Replay(stored, loaded.engine.outputs)
            try:
                same_heads = count_differences(segment_loaded(pixels, mpp, replayed), labels)
                told = f"with the reference's heads {sum(same_heads)}"
            except KeyError:
                same_heads, told = differing, "THE TILES DIFFER"
            total, unexplained = total + sum(differing), unexplained + sum(same_heads)
            objects = " and ".join(str(len(np.unique(labels[..., at])) - 1) for at in range(labels.shape[-1]))
            worst = largest_difference(loaded.engine, stored)
            report(
                f"{application:<10}{name:<34}{pixels.shape[0]:>5} x {pixels.shape[1]:<5}{objects:>13} objects   "
                f"px that differ: {' and '.join(map(str, differing))}; {told}; heads differ by {worst:.0e}"
            )
    return total, unexplained


def main() -> None:
    """Run the reference over all images, then ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", help="Python of setup/create_reference.sh; without it OUTDIR holds its results")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--outdir", type=Path, required=True)
    options = parser.parse_args()
    options.outdir.mkdir(parents=True, exist_ok=True)
    images = read_images(options.data)
    images |= {f"{name}.nuclear": (pixels[..., :1], mpp) for name, (pixels, mpp) in images.items()}
    for name, (pixels, mpp) in images.items():
        np.savez(options.outdir / f"{name}.image.npz", image=pixels, mpp=mpp)
    if options.reference:
        subprocess.run([options.reference, str(APPLICATIONS), "--folder", str(options.outdir)], check=True)
    total, unexplained = compare(options.outdir, images, print)
    print(f"{len(images)} images; px that differ: {total}, with the same heads: {unexplained}")
    raise SystemExit(unexplained > 0)


if __name__ == "__main__":
    main()
