"""An image whose labels hang on exact ties everywhere, through Nextflow: tried again with more memory, same labels.

python benchmarks/exact_ties.py --outdir ties [--toolbox TOOLBOX/bin/python]

Flat discs with two bright spots each, and a network that hands its input on: which of two spots floods a pixel first
is settled by the order of the whole image alone. POSTPROCESS_LABELS, promised memory for blocks, ends with exit code 75
and is repeated with more. The published labels are compared with ``deep_watershed`` of this project on the heads as a
whole, and of deepcell-toolbox if an interpreter that has it is given.
"""

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import tifffile

from cellbatch.io.handoffs import HandoffReader
from cellbatch.phases.model_shelves import find_model
from cellbatch.postprocessing.watershed import deep_watershed

ROOT = Path(__file__).resolve().parents[1]
SIDE, STEP, RADIUS = 4096, 80, 24
HEADS = ("inner_distance", "interior")
TOOLBOX = """
import json, sys, numpy as np
from deepcell_toolbox.deep_watershed import deep_watershed
with np.load(sys.argv[1]) as maps:
    heads = [maps[name][None, ..., None] for name in ("inner_distance", "interior")]
    np.save(sys.argv[2], deep_watershed(heads, **json.loads(sys.argv[3]))[0, ..., 0])
"""


def write_model(folder: Path) -> dict[str, float]:
    """Write a network that gives its first channel, and where its second is bright; the options of its watershed."""
    make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    image = onnx.helper.make_tensor_value_info("image", 1, ["n", 256, 256, 2])
    heads = [onnx.helper.make_tensor_value_info(name, 1, ["n", 256, 256, 1]) for name in HEADS]
    numbers = [array(np.array([value], np.int64), f"at_{value}") for value in range(4)]
    nodes = [
        make("Slice", ["image", "at_0", "at_1", "at_3"], [HEADS[0]]),
        make("Slice", ["image", "at_1", "at_2", "at_3"], ["membrane"]),
        make("Greater", ["membrane", "threshold"], ["is_bright"]),
        make("Cast", ["is_bright"], [HEADS[1]], to=1),
    ]
    graph = onnx.helper.make_graph(nodes, "ties", [image], heads, [*numbers, array(np.float32(0.3), "threshold")])
    network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    manifest = json.loads((find_model("demo") / "manifest.json").read_text(encoding="utf-8"))
    cells = manifest["compartments"]["whole_cell"]
    cells.update({name: {"head": name, "channel": 0} for name in HEADS})
    # one tile of the equalisation over the whole image: equal pixels stay equal
    manifest.update(name="ties", compartments={"whole_cell": cells})
    manifest["preprocessing"] = {"percentile": None, "clahe_kernel_size": 2 * SIDE}
    manifest["weights"]["onnx"]["sha256"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    options: dict[str, float] = cells["watershed"]
    return options


def draw(path: Path) -> None:
    """Draw the discs, the spots in channel D and the discs alone in M."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    disc = y**2 + x**2 <= RADIUS**2
    spots = (y**2 + (x - 9) ** 2 <= 9) | (y**2 + (x + 9) ** 2 <= 9)
    cell = np.zeros((2, STEP, STEP), np.uint16)
    place = slice(STEP // 2 - RADIUS, STEP // 2 + RADIUS + 1)
    cell[:, place, place] = np.where(spots, 3000, 300 * disc), 1000 * disc
    image = np.zeros((2, SIDE, SIDE), np.uint16)
    repeats = SIDE // STEP
    image[:, : repeats * STEP, : repeats * STEP] = np.tile(cell, (1, repeats, repeats))
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "Channel": {"Name": ["D", "M"]}}
    tifffile.imwrite(
        path, image, ome=True, photometric="minisblack", tile=(512, 512), compression="zlib", metadata=metadata
    )


def main() -> None:
    """Run, and compare; exit code 1 if nothing was tried again or a pixel differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--toolbox", type=Path)
    options = parser.parse_args()
    folder = options.outdir.resolve()
    watershed = write_model(folder / "model")
    draw(folder / "ties.ome.tif")
    rows = f"sample,image,nuclear_channel,membrane_channel\nties,{folder / 'ties.ome.tif'},D,M\n"
    (folder / "sheet.csv").write_text(rows, encoding="utf-8")
    command = ["nextflow", "-log", "nextflow.log", "run", str(ROOT / "main.nf"), "--input", "sheet.csv"]
    command += ["--model", str(folder / "model"), "--compartment", "whole-cell", "--outdir", "results"]
    subprocess.run(command, cwd=folder, env={**os.environ, "NXF_ANSI_LOG": "false"}, check=True)
    trace = (folder / "results" / "pipeline_info" / "execution_trace.txt").read_text(encoding="utf-8")
    tries = [
        (row["exit"], f"{float(row['memory']) / 1e6:.0f} MB asked")
        for row in csv.DictReader(trace.splitlines(), delimiter="\t")
        if row["process"].endswith("POSTPROCESS_LABELS")
    ]
    print("POSTPROCESS_LABELS:", *tries, sep="\n  ")
    with HandoffReader(next(folder.glob("work/*/*/*.heads.zip"))) as heads:
        maps = {name: np.asarray(heads.read("ties", f"whole_cell_{name}")) for name in HEADS}
    published = tifffile.imread(folder / "results" / "labels" / "ties.whole_cell.ome.tif")
    found = {"this project, at once": deep_watershed(maps[HEADS[0]], maps[HEADS[1]], **watershed)}
    if options.toolbox:
        np.savez(folder / "maps.npz", **maps)
        files = [str(folder / name) for name in ("maps.npz", "toolbox.npy")]
        subprocess.run([str(options.toolbox), "-c", TOOLBOX, *files, json.dumps(watershed)], check=True)
        found["deepcell-toolbox"] = np.load(files[1])
    differing = {name: int((labels != published).sum()) for name, labels in found.items()}
    print(f"{published.max()} cells; px that differ: {differing}")
    sys.exit([code for code, _ in tries] != ["75", "0"] or any(differing.values()))


if __name__ == "__main__":
    main()
