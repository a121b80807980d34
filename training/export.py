"""Export a trained network: ``python training/export.py [--network demo_nuclear] [--onnx FILE] [--saved_model DIR] …``.

Without the last ones it writes the ONNX file of the shipped model. Wherever a manifest lies beside what is written, the
sha256 goes into it.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import keras
import network
import network_nuclear
import onnx
import tensorflow as tf
import tf2onnx

from cellbatch.io.models import MANIFEST_FILE, hash_weights

HERE = Path(__file__).parent
MODELS = HERE.parent / "assets" / "models"
NETWORKS = {"demo": network, "demo_nuclear": network_nuclear}
OPSET = 17
LOG = logging.getLogger("export")


def load_network(weights: Path, name: str = "demo") -> Any:
    """Rebuild a network from its stored weights.

    Parameters
    ----------
    weights : path
        NPZ of ``train.py`` or ``train_nuclear.py``.
    name : str
        One of ``NETWORKS``.

    Returns
    -------
    keras.Model
        The trained network.
    """
    keras.backend.clear_session()
    model = NETWORKS[name].build_network()
    network.load_weights(model, weights)
    return model


def make_function(model: Any) -> Any:
    """Wrap the network as a function of fixed tile size and free batch size with named heads.

    Parameters
    ----------
    model : keras.Model
        The network.

    Returns
    -------
    tf.function
        ``image`` (N, Y, X, C) float32 → dict of heads.
    """
    shape, names = NETWORKS[model.name].INPUT_SHAPE, NETWORKS[model.name].HEADS
    signature = [tf.TensorSpec((None, *shape), tf.float32, name="image")]

    @tf.function(input_signature=signature)
    def predict(image: Any) -> dict[str, Any]:
        heads = model(image, training=False)
        return {name: tf.identity(head, name=name) for name, head in zip(names, heads, strict=True)}

    return predict


def export_saved_model(model: Any, folder: Path) -> None:
    """Write a SavedModel with one signature, ``serving_default``.

    Parameters
    ----------
    model : keras.Model
        The network.
    folder : path
        Folder to make.
    """
    module = tf.Module()
    module.model = model
    module.predict = make_function(model)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})


def export_onnx(model: Any, path: Path) -> None:
    """Write the network as ONNX.

    Parameters
    ----------
    model : keras.Model
        The network.
    path : path
        File to write, in one step.

    Raises
    ------
    RuntimeError
        If the conversion lost or renamed a head.
    """
    function = make_function(model)
    proto, _ = tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET)
    names = NETWORKS[model.name].HEADS
    by_name = {output.name: output for output in proto.graph.output}
    if set(by_name) != set(names):
        raise RuntimeError(f"converted network gives {sorted(by_name)}, expected {sorted(names)}")
    del proto.graph.output[:]
    proto.graph.output.extend(by_name[name] for name in names)
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(proto.SerializeToString(deterministic=True))
    unfinished.replace(path)


def write_hash(form: str, weights: Path) -> None:
    """Enter weights and their hash into the manifest beside them, if there is one.

    Parameters
    ----------
    form : str
        ``onnx`` or ``saved_model``.
    weights : path
        File or folder; the manifest keeps everything else.
    """
    manifest = weights.parent / MANIFEST_FILE
    if manifest.exists():
        record = json.loads(manifest.read_text(encoding="utf-8"))
        record["weights"][form] = {"file": weights.name, "sha256": hash_weights(weights)}
        unfinished = manifest.with_name(f".{manifest.name}.unfinished")
        unfinished.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        unfinished.replace(manifest)


def export_model_folder(model: Any, folder: Path) -> None:
    """Make a model folder with both forms of the weights, for the ``tensorflow`` engine too.

    Parameters
    ----------
    model : keras.Model
        The network.
    folder : path
        Folder to make; must not exist.
    """
    folder.mkdir(parents=True)
    shutil.copyfile(MODELS / model.name / MANIFEST_FILE, folder / MANIFEST_FILE)
    export_onnx(model, folder / "model.onnx")
    write_hash("onnx", folder / "model.onnx")
    export_saved_model(model, folder / "saved_model")
    write_hash("saved_model", folder / "saved_model")


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description="Export a trained network as ONNX or SavedModel.")
    parser.add_argument("--network", choices=tuple(NETWORKS), default="demo")
    parser.add_argument("--weights", type=Path, help="NPZ of the training; default: the one beside this script")
    parser.add_argument("--onnx", type=Path, help="file to write")
    parser.add_argument("--saved_model", type=Path, help="SavedModel folder to make")
    parser.add_argument("--model_folder", type=Path, help="model folder to make, with manifest, ONNX and SavedModel")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = load_network(args.weights or HERE / f"{args.network}.weights.npz", args.network)
    if args.model_folder:
        export_model_folder(model, args.model_folder)
        LOG.info("model folder written to %s", args.model_folder)
    if args.saved_model:
        export_saved_model(model, args.saved_model)
        write_hash("saved_model", args.saved_model)
        LOG.info("SavedModel written to %s", args.saved_model)
    if args.onnx or not (args.saved_model or args.model_folder):
        path = args.onnx or MODELS / args.network / "model.onnx"
        export_onnx(model, path)
        write_hash("onnx", path)
        LOG.info("ONNX written to %s", path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
