"""From TensorFlow's forms of a network to ONNX; TensorFlow and tf2onnx are imported here only when they are needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cellbatch.errors import ConfigError, InputError

logger = logging.getLogger(__name__)

OPSET = 17
# grows with every change of this module that changes what it writes
CONVERSION = 1
# operations by which a network could run code or reach files of the machine it is loaded on
FORBIDDEN = frozenset(
    {"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "WholeFileReaderV2"}
)
Network = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def converter_version() -> str:
    """Name what decides the result of a conversion, where it is made."""
    try:
        return f"conversion {CONVERSION}, opset {OPSET}, tf2onnx {version('tf2onnx')}"
    except PackageNotFoundError:
        return f"conversion {CONVERSION}, opset {OPSET}, no tf2onnx"


class TensorflowNetwork:
    """A network as TensorFlow runs it, the original that a conversion is held against.

    Parameters
    ----------
    path : SavedModel folder, or a Keras file

    Attributes
    ----------
    input_shape : height, width and channels of the input; ``None`` where the network takes any

    Raises
    ------
    ConfigError
        If TensorFlow or tf2onnx is not installed.
    InputError
        If it cannot be loaded, or may not be.
    """

    def __init__(self, path: Path) -> None:
        # its messages about the machine belong in no log of ours
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        try:
            import tensorflow
            import tf2onnx
        except ImportError as error:
            raise ConfigError(
                f"{path.name} must be converted with {error.name}, which is not installed here; install it with "
                "pip install 'cellbatch[tensorflow]', or give an .onnx file or a prepared model folder as --model"
            ) from error
        self._tensorflow, self._tf2onnx = tensorflow, tf2onnx
        self._path = path
        self._run = self._load_saved_model() if path.is_dir() else self._load_keras()

    def predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Heads of float32 (N, Y, X, C) tiles, by output name."""
        answer = self._run(self._tensorflow.constant(np.ascontiguousarray(tiles, np.float32)))
        return {name: head.numpy() for name, head in answer.items()}

    def export_onnx(self, target: Path) -> None:
        """Write the network as ONNX, with the names of its outputs and a free number of tiles per call.

        Raises
        ------
        InputError
            If the network holds operations that ONNX has no word for.
        """
        spec = self._tensorflow.TensorSpec((None, *self.input_shape), self._tensorflow.float32, name="image")

        def named(image: Any) -> dict[str, Any]:
            return {name: self._tensorflow.identity(head, name=name) for name, head in self._run(image).items()}

        function = self._tensorflow.function(named, input_signature=[spec])
        try:
            proto, _ = self._tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET)
        except (ValueError, RuntimeError, KeyError) as error:
            raise InputError(
                f"{self._path}: cannot be converted to ONNX: {error}; run it with --engine tensorflow"
            ) from error
        custom = sorted(
            {f"{node.domain}.{node.op_type}" for node in proto.graph.node if node.domain not in ("", "ai.onnx")}
        )
        if custom:
            raise InputError(f"{self._path}: has no ONNX form without custom operators ({', '.join(custom)})")
        target.write_bytes(proto.SerializeToString(deterministic=True))

    def _load_saved_model(self) -> Callable[[Any], Mapping[str, Any]]:
        """Load the serving signature of a SavedModel, after a look at its operations."""
        refuse_forbidden_operations(self._path)
        try:
            # kept alive: a signature holds only weak references to its variables
            self._model = self._tensorflow.saved_model.load(str(self._path))
            serve = self._model.signatures["serving_default"]
        except (OSError, KeyError, ValueError, AttributeError, self._tensorflow.errors.OpError) as error:
            raise InputError(
                f"{self._path}: not a SavedModel with a serving_default signature, or a damaged one: {error}; "
                "fetch or export it again"
            ) from error
        inputs = serve.structured_input_signature[1]
        if len(inputs) != 1:
            raise InputError(f"{self._path}: a network with one input was expected, found {sorted(inputs)}")
        ((name, spec),) = inputs.items()
        self.input_shape = _image_shape(self._path, spec.shape)
        return lambda image: serve(**{name: image})

    def _load_keras(self) -> Callable[[Any], Mapping[str, Any]]:
        """Load a Keras file of standard layers; code inside is not run."""
        from tensorflow import keras

        try:
            model = keras.models.load_model(str(self._path), compile=False, safe_mode=True)
        except Exception as error:  # whatever a damaged or foreign file makes Keras raise
            raise InputError(
                f"{self._path}: Keras cannot load this file: {error}; networks with layers of their own must come as "
                "SavedModel"
            ) from error
        if len(model.inputs) != 1:
            raise InputError(f"{self._path}: a network with one input was expected, found {len(model.inputs)}")
        self.input_shape = _image_shape(self._path, model.inputs[0].shape)
        names = list(model.output_names)

        def run(image: Any) -> dict[str, Any]:
            heads = model(image, training=False)
            listed = (
                list(heads.values())
                if isinstance(heads, dict)
                else heads
                if isinstance(heads, list | tuple)
                else [heads]
            )
            return dict(zip(names, listed, strict=True))

        return run


def refuse_forbidden_operations(folder: Path) -> None:
    """Read a SavedModel's operations without loading it.

    Raises
    ------
    InputError
        If the file is damaged, or holds an operation that runs Python or reaches files.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    proto = saved_model_pb2.SavedModel()
    try:
        proto.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"{folder}: saved_model.pb cannot be read ({error}); fetch or export it again") from error
    found = set()
    for graph in (meta.graph_def for meta in proto.meta_graphs):
        found |= {node.op for node in graph.node}
        found |= {node.op for function in graph.library.function for node in function.node_def}
    if forbidden := sorted(found & FORBIDDEN):
        raise InputError(
            f"{folder}: the network holds operations that run code or reach files ({', '.join(forbidden)}) and is not "
            "loaded; export it without them"
        )


def compare_heads(original: Mapping[str, np.ndarray], converted: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Largest difference per head.

    Raises
    ------
    InputError
        If the two have other heads or shapes.
    """
    shapes = [{name: head.shape for name, head in heads.items()} for heads in (original, converted)]
    if shapes[0] != shapes[1]:
        raise InputError(f"the converted network gives {shapes[1]}, the original {shapes[0]}; report this model")
    return {
        name: float(np.max(np.abs(head.astype(np.float64) - converted[name]), initial=0.0))
        for name, head in original.items()
    }


def _image_shape(path: Path, shape: Any) -> tuple[int | None, int | None, int | None]:
    """(Y, X, C) of an input (N, Y, X, C)."""
    if shape.rank != 4 if hasattr(shape, "rank") else len(shape) != 4:
        raise InputError(f"{path}: an input (N, Y, X, C) was expected, found {shape}")
    return tuple(shape)[1:]
