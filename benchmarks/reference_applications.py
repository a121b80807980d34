"""Run DeepCell's applications on given images with the demo network, in the reference environment.

    REFERENCE/bin/python benchmarks/reference_applications.py --folder labels
    REFERENCE/bin/python benchmarks/reference_applications.py --saved_models models

The demo network is rebuilt in the reference environment's Keras from ``training/demo.weights.npz``. With ``--folder``
each ``<name>.image.npz`` there (``image`` (Y, X, C) float32, ``mpp``) gets a ``<name>.reference.npz``: ``labels``, the
``tiles`` that the application handed to the network, and the network's heads ``head_<i>`` for them. Images of one
channel go to both one-channel applications. ``--saved_models`` writes the networks as ``--engine deepcell`` takes them.
"""

import argparse
import json
import sys
from pathlib import Path

import keras
import numpy as np
from deepcell.applications import CytoplasmSegmentation, Mesmer, NuclearSegmentation
from keras import layers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "training"))

from network import build_network, load_weights  # noqa: E402

ONE_CHANNEL = {"nuclear": NuclearSegmentation, "cytoplasm": CytoplasmSegmentation}
MANIFESTS = {"demo": "mesmer", "demo_one_channel": "nuclear"}


def build_networks():
    """Give the demo network with Mesmer's interface, and the one with that of the one-channel applications.

    The latter lays an empty membrane beside its channel and gives the inner distance twice and the interior with what
    is left of it, as many heads as those applications expect.
    """
    network = build_network()
    load_weights(network, ROOT / "training" / "demo.weights.npz")
    image = keras.Input((256, 256, 2), name="image")
    mesmer = keras.Model(image, network(image), name="demo")
    image = keras.Input((256, 256, 1), name="image")
    _, _, distance, classes = network(layers.Concatenate()([image, image * 0.0]))
    heads = [
        layers.Activation("linear", name="semantic_0")(distance),
        layers.Activation("linear", name="semantic_1")(distance),
        layers.Lambda(lambda values: values[..., 1:3], name="semantic_2")(classes),
    ]
    return mesmer, keras.Model(image, heads, name="demo_one_channel")


def keep_calls(network):
    """Note tiles and heads of every call that an application makes."""
    calls = []

    def kept(run):
        def noted(tiles, *values, **named):
            heads = run(tiles, *values, **named)
            calls.append((np.array(tiles), [np.array(head) for head in heads]))
            return heads

        return noted

    for name in ("predict", "predict_on_batch"):
        setattr(network, name, kept(getattr(network, name)))
    return calls


def label_images(folder):
    """Label every image of a folder with the applications that take its channels."""
    mesmer, single = build_networks()
    calls = {2: keep_calls(mesmer), 1: keep_calls(single)}
    applications = {2: {"mesmer": Mesmer(model=mesmer)}}
    applications[1] = {name: application(model=single) for name, application in ONE_CHANNEL.items()}
    for path in sorted(folder.glob("*.image.npz")):
        with np.load(path) as stored:
            image, mpp = stored["image"], float(stored["mpp"])
        channels = image.shape[-1]
        options = {"compartment": "both"} if channels == 2 else {}
        kept = {}
        for name, application in applications[channels].items():
            calls[channels].clear()
            kept[f"labels_{name}"] = application.predict(image[None], image_mpp=mpp, **options)[0]
        tiles = np.concatenate([tiles for tiles, _ in calls[channels]])
        heads = [np.concatenate(parts) for parts in zip(*(heads for _, heads in calls[channels]))]  # noqa: B905
        kept.update({f"head_{index}": head for index, head in enumerate(heads)}, tiles=tiles)
        np.savez(path.with_name(path.name.replace(".image.", ".reference.")), **kept)


def read_manifest(name):
    """Read the manifest of a model that ships with this project."""
    return json.loads((ROOT / "assets" / "models" / name / "manifest.json").read_text())


def save_models(folder):
    """Write both networks as Keras SavedModels, each with the manifest of the application whose interface it has.

    Of the demo model's own manifest they have the version and, for the same compartments, the thresholds.
    """
    demo = read_manifest("demo")
    for network in build_networks():
        target = folder / network.name
        network.save(str(target))
        manifest = read_manifest(MANIFESTS[network.name])
        manifest.update({name: demo[name] for name in ("licence", "version")})
        manifest.update(name=network.name, description="the demo network, as Keras saves it")
        if set(manifest["compartments"]) == set(demo["compartments"]):
            for compartment, options in manifest["compartments"].items():
                options["watershed"] = demo["compartments"][compartment]["watershed"]
        manifest.pop("archive")
        manifest.pop("heads", None)
        (folder / (network.name + ".manifest.json")).write_text(json.dumps(manifest, indent=2) + "\n")


def main():
    """Label, or save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--saved_models", type=Path)
    options = parser.parse_args()
    if options.folder:
        label_images(options.folder)
    if options.saved_models:
        save_models(options.saved_models)


if __name__ == "__main__":
    main()
