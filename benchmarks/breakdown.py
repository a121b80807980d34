"""Where the time of an image goes, in the steps of the DeepCell Kiosk: transfer, preprocess, inference, postprocess.

    python benchmarks/breakdown.py --outdir breakdown --reference REFERENCE/bin/python

One process per side and repeat, in turn, takes images one after the other: transfer is the reading of the image and the
writing of its labels, inference includes the cutting and blending of tiles, set-up is all before the first image. With
``--reference`` DeepCell does the same with the same network, its functions called by its own application. Steps do not
overlap here, as they do in the pipeline, and labels are not measured.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from pipeline_run import ROOT, draw_images
from results import Results, add_csv_option

STEPS = ("set-up", "transfer", "preprocess", "inference", "postprocess")
CLOCK = """
import json, os, sys, time
begun = float(sys.argv[1])
taken = {step: [0.0, 0.0] for step in ("set-up", "transfer", "preprocess", "inference", "postprocess")}
def clocks():
    return time.perf_counter(), time.process_time()
def add(step, start, end):
    taken[step] = [spent + later - earlier for spent, earlier, later in zip(taken[step], start, end)]
def timed(step, function):
    def run(*values, **named):
        start = clocks()
        try:
            return function(*values, **named)
        finally:
            add(step, start, clocks())
    return run
"""
OURS = (
    CLOCK
    + """
import numpy as np
from cellbatch.io.images import open_image
from cellbatch.io.labels import write_labels
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.model_shelves import find_model
from cellbatch.phases.postprocess_labels import make_labels, resolve_watershed
from cellbatch.phases.preprocess_images import prepare_input
from cellbatch.postprocessing.resize import choose_sampling
from cellbatch.preprocessing.statistics import equalize
from cellbatch.spec import Window
loaded = LoadedModel(find_model("demo"), InferenceOptions(threads=2))
manifest = loaded.manifest
def read(path):
    with open_image(path) as image:
        return np.stack([image.read(0), image.read(1)], axis=-1).astype(np.float32)
def prepare(image):
    bins, statistics = prepare_input(image, 0.5, manifest, manifest.preprocessing)
    return equalize(bins, statistics, Window(0, bins.shape[0], 0, bins.shape[1]))
def label(heads, shape):
    options = resolve_watershed(manifest.selected("both"), {})
    sampling = choose_sampling(len(heads))
    return {name: make_labels(maps, options[name], shape, 2, sampling) for name, maps in heads.items()}
def write(labels, stem):
    for name, values in labels.items():
        write_labels(f"{stem}.{name}.ome.tif", values, 0.5, name, threads=2)
def segment(path, stem):
    image = timed("transfer", read)(path)
    ready = timed("preprocess", prepare)(image)
    heads = timed("inference", loaded.infer)(ready)
    labels = timed("postprocess", label)(heads, image.shape[:2])
    timed("transfer", write)(labels, stem)
"""
)
DEEPCELL = (
    CLOCK
    + """
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
from pathlib import Path
import keras, numpy as np, tifffile
training = os.environ["CELLBATCH_TRAINING"]
sys.path.insert(0, training)
from network import build_network, load_weights
from deepcell.applications import Mesmer
network = build_network()
load_weights(network, Path(training) / "demo.weights.npz")
image = keras.Input((256, 256, 2))
model = keras.Model(image, network(image))
model.predict(np.zeros((4, 256, 256, 2), np.float32), batch_size=4)
application = Mesmer(model=model)
application.preprocessing_fn = timed("preprocess", application.preprocessing_fn)
application.postprocessing_fn = timed("postprocess", application.postprocessing_fn)
def segment(path, stem):
    pixels = timed("transfer", lambda: np.moveaxis(tifffile.imread(path)[:2], 0, -1).astype(np.float32)[None])()
    # what the application does besides those two: resizing, tiling, the network
    before = [sum(pair) for pair in zip(taken["preprocess"], taken["postprocess"])]
    labels = timed("inference", application.predict)(pixels, image_mpp=0.5, compartment="both")
    after = [sum(pair) for pair in zip(taken["preprocess"], taken["postprocess"])]
    add("inference", after, before)
    timed("transfer", tifffile.imwrite)(stem + ".tif", labels[0].astype(np.uint32), compression="zlib")
"""
)
LOOP = """
taken["set-up"] = [time.time() - begun, time.process_time()]
for path in sys.argv[3:]:
    segment(path, sys.argv[2] + "/" + os.path.basename(path).split(".")[0])
print(json.dumps(taken))
"""


def run(python: str, code: str, outdir: Path, images: list[Path]) -> dict[str, tuple[float, float]]:
    """Seconds of each step: wall, and those of all threads."""
    outdir.mkdir(parents=True, exist_ok=True)
    command = [python, "-c", code + LOOP, str(time.time()), str(outdir), *map(str, images)]
    environment = {**os.environ, "CELLBATCH_TRAINING": str(ROOT / "training")}
    told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(told.splitlines()[-1])


def main() -> None:
    """Print the steps of each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--reference", help="Python with DeepCell")
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, ("way", "images", "side_px", "step", "wall_s", "cpu_s"))
    outdir = options.outdir.resolve()
    images = sorted(draw_images(outdir / "images", options.images, options.side).parent.glob("*.ome.tif"))
    ways = {"this project": (sys.executable, OURS)}
    if options.reference:
        ways["DeepCell"] = (options.reference, DEEPCELL)
    for repeat in range(1, options.repeats + 1):
        for way, (python, code) in ways.items():
            taken = run(python, code, outdir / "labels", images)
            for step in STEPS:
                case = {"way": way, "images": options.images, "side_px": options.side, "step": step}
                results.add(repeat, **case, wall_s=taken[step][0], cpu_s=taken[step][1])
            print(way, {step: f"{wall:.2f} s ({cpu:.2f} CPU)" for step, (wall, cpu) in taken.items()}, flush=True)


if __name__ == "__main__":
    main()
