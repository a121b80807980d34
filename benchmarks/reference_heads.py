"""Hold our heads against DeepCell's, for what ``benchmarks/reference_network.py`` wrote.

    python benchmarks/reference_heads.py --reference reference

Each archive goes through PREPARE_MODEL; the largest difference of each head is printed. ``--keep FOLDER`` keeps the
prepared models there.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cellbatch.io.model_sources import describe_source
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.phases.prepare_model import PreparationOptions, prepare_model

TILES = Path(__file__).resolve().parents[1] / "assets" / "test" / "tissue_01.ome.tif"


def main() -> None:
    """Prepare, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    for archive in sorted(options.reference.glob("*.tar.gz")):
        with TemporaryDirectory() as temporary:
            model = (options.keep or Path(temporary)) / archive.name.removesuffix(".tar.gz")
            model.parent.mkdir(parents=True, exist_ok=True)
            prepare_model(describe_source(archive), model, PreparationOptions(tiles=TILES))
            engine = LoadedModel(model, InferenceOptions(device="cpu", threads=2)).engine
            with np.load(archive.with_name(archive.name.replace(".tar.gz", ".npz"))) as reference:
                ours = engine.predict(reference["tiles"])
                for name in engine.outputs:
                    print(f"{archive.name} {name}: {np.abs(ours[name] - reference[name]).max():.1e}")


if __name__ == "__main__":
    main()
