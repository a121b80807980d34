"""Export networks of Mesmer's and NuclearSegmentation's size with fixed random weights, in the reference environment.

    REFERENCE/bin/python benchmarks/reference_network.py --outdir reference

Writes ``<name>.tar.gz`` as DeepCell distributes its archives, and ``<name>.npz`` with two tiles and DeepCell's heads.
"""

import argparse
import tarfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from deepcell.model_zoo.panopticnet import PanopticNet

NETWORKS = {"MultiplexSegmentation": (2, [1, 3, 1, 3]), "NuclearSegmentation": (1, [1, 1, 2])}
SEED = 7


def export_network(name, outdir):
    """Build, save and run one network."""
    channels, classes = NETWORKS[name]
    tf.keras.utils.set_random_seed(SEED)
    network = PanopticNet(
        backbone="resnet50",
        input_shape=(256, 256, channels),
        norm_method=None,
        num_semantic_heads=len(classes),
        num_semantic_classes=classes,
        location=True,
        include_top=True,
        use_imagenet=False,
    )
    rng = np.random.default_rng(SEED)
    for layer in network.layers:
        if "BatchNorm" in type(layer).__name__:
            scale, shift, *moments = layer.get_weights()
            scale, shift = scale * rng.uniform(0.8, 1.2, scale.shape), rng.normal(0, 0.1, shift.shape)
            layer.set_weights([scale, shift, *moments])
    network.save(str(outdir / name))
    tiles = rng.random((2, 256, 256, channels)).astype("float32")
    heads = dict(zip(network.output_names, network.predict(tiles)))  # noqa: B905 (Python 3.10 and older Keras)
    np.savez(outdir / f"{name}.npz", tiles=tiles, **heads)
    with tarfile.open(outdir / f"{name}.tar.gz", "w:gz", compresslevel=1) as archive:
        archive.add(outdir / name, arcname=name)


def main():
    """Export both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    outdir = parser.parse_args().outdir
    outdir.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        export_network(name, outdir)


if __name__ == "__main__":
    main()
