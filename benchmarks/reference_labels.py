"""Labels of DeepCell's Mesmer(model=…) against ours, with one and the same network, on real images.

    python benchmarks/reference_labels.py --reference REFERENCE/bin/python --data ../shared/data/images --outdir labels

The demo network is rebuilt in the reference environment's Keras from ``training/demo.weights.npz`` and handed to
DeepCell's application, which runs as it is. Ours are made once more from the heads that the reference's network gave
for each tile: then the tiles, the blending and the labels are compared without the two runtimes' rounding.
"""

import argparse
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from cellbatch.io.images import open_image
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.segment_image import segment_loaded

ROOT = Path(__file__).resolve().parents[1]
COMPARTMENTS = ("whole_cell", "nuclear")
# runs in the reference environment, which has none of our packages
REFERENCE = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import keras, numpy as np
sys.path.insert(0, sys.argv[1])
from network import build_network, load_weights
from deepcell.applications import Mesmer
network = build_network()
load_weights(network, Path(sys.argv[1]) / "demo.weights.npz")
image = keras.Input((256, 256, 2))
network = keras.Model(image, network(image))
run, calls = network.predict, []
def kept(tiles, *values, **named):
    heads = run(tiles, *values, **named)
    calls.append((np.array(tiles), [np.array(head) for head in heads]))
    return heads
network.predict = kept
application = Mesmer(model=network)
for path in sorted(Path(sys.argv[2]).glob("*.image.npz")):
    with np.load(path) as stored:
        image, mpp = stored["image"], float(stored["mpp"])
    calls.clear()
    labels = application.predict(image[None], image_mpp=mpp, compartment="both")[0]
    heads = {f"head_{i}": np.concatenate([call[1][i] for call in calls]) for i in range(4)}
    tiles = np.concatenate([call[0] for call in calls])
    np.savez(path.with_name(path.name.replace(".image.", ".reference.")), labels=labels, tiles=tiles, **heads)
"""


def read_images(data: Path) -> dict[str, tuple[np.ndarray, float]]:
    """Nuclear and membrane channel, float32 (Y, X, 2), and µm per px; 0.5 where nobody says."""
    found: dict[str, tuple[np.ndarray, float]] = {}
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


def count_differences(ours: dict[str, np.ndarray], labels: np.ndarray) -> list[int]:
    """Pixels per compartment with another label."""
    return [int((ours[name] != labels[..., at]).sum()) for at, name in enumerate(COMPARTMENTS)]


def compare(folder: Path, images: dict[str, tuple[np.ndarray, float]], report: Callable[[str], object]) -> int:
    """Report every image; how many pixels nobody can explain."""
    loaded, unexplained = LoadedModel(find_model("demo"), InferenceOptions(device="cpu", threads=2)), 0
    for name, (pixels, mpp) in images.items():
        with np.load(folder / f"{name}.reference.npz") as arrays:
            stored = dict(arrays)
        differing = count_differences(segment_loaded(pixels, mpp, loaded), stored["labels"])
        replayed = LoadedModel(find_model("demo"), InferenceOptions(device="cpu"))
        replayed.engine = Replay(stored, loaded.engine.outputs)
        try:
            same_heads = count_differences(segment_loaded(pixels, mpp, replayed), stored["labels"])
            unexplained += sum(same_heads)
            told = f"with the reference's heads {same_heads[0]} and {same_heads[1]}"
        except KeyError:
            unexplained += sum(differing)
            told = "the tiles differ"
        cells = [int(stored["labels"][..., at].max()) for at in range(2)]
        report(
            f"{name:<32}{pixels.shape[0]:>5} x {pixels.shape[1]:<5} {cells[0]:>5} cells {cells[1]:>5} nuclei   "
            f"px that differ: {differing[0]} and {differing[1]}; {told}"
        )
    return unexplained


def main() -> None:
    """Run the reference over all images, then ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", required=True, help="Python of setup/create_reference.sh")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--outdir", type=Path, required=True)
    options = parser.parse_args()
    options.outdir.mkdir(parents=True, exist_ok=True)
    images = read_images(options.data)
    for name, (pixels, mpp) in images.items():
        np.savez(options.outdir / f"{name}.image.npz", image=pixels, mpp=mpp)
    command = [options.reference, "-c", REFERENCE, str(ROOT / "training"), str(options.outdir)]
    subprocess.run(command, check=True)
    unexplained = compare(options.outdir, images, print)
    print(f"{len(images)} images; px that differ with the same heads: {unexplained}")
    raise SystemExit(unexplained > 0)


if __name__ == "__main__":
    main()
