"""The protocol of an engine, and the choice among the engines there are."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cellbatch.errors import ConfigError, EngineError

# not a runtime of the network alone: DeepCell's own code, from the image to its labels
DEEPCELL = "deepcell"
ENGINES = ("onnxruntime", "tensorflow", DEEPCELL)
WEIGHTS_FORM = {"onnxruntime": "onnx", "tensorflow": "saved_model", DEEPCELL: "saved_model"}
DEVICES = ("auto", "cpu", "gpu")
PRECISIONS = ("float32", "tf32", "fp16")
TILE_BATCH = {"cpu": 1, "gpu": 16}


class OutOfDeviceMemory(EngineError):
    """The device has no room for a model call of this many tiles."""


@dataclass(frozen=True)
class EngineOptions:
    """Where and how a runtime runs a network.

    Attributes
    ----------
    device : ``auto`` (a GPU if the runtime sees one), ``cpu`` or ``gpu``
    threads : CPU threads inside one operation
    precision : ``float32``; ``tf32`` and ``fp16`` round products or everything to fewer bits
    tensorrt_cache : folder for engines that TensorRT builds; empty = without TensorRT
    """

    device: str = "auto"
    threads: int = 1
    precision: str = "float32"
    tensorrt_cache: str = ""


class Engine(Protocol):
    """One loaded network on one device.

    Attributes
    ----------
    device : the device that really runs the network, ``cpu`` or ``gpu``
    outputs : names of the heads, in natural order
    """

    device: str
    outputs: tuple[str, ...]

    def predict(self, tiles: np.ndarray) -> Mapping[str, np.ndarray]:
        """Heads of a batch of tiles.

        Parameters
        ----------
        tiles : float32 (N, Y, X, C)

        Returns
        -------
        mapping of head name to float32 (N, Y, X, K); valid until the next call

        Raises
        ------
        OutOfDeviceMemory
            If the device has no room for so many tiles.
        """
        ...


def load_engine(engine: str, weights: str, options: EngineOptions) -> Engine:
    """Load a network once; the runtime is imported here and nowhere else.

    Parameters
    ----------
    engine : ``onnxruntime`` or ``tensorflow``
    weights : path of the ONNX file or of the SavedModel folder
    options : device and precision

    Raises
    ------
    ConfigError
        If the engine is unknown or not installed, or if ``gpu`` is asked for and none is visible.
    InputError
        If the file is not a network that the runtime can load.
    EngineError
        If a GPU is visible and fails to start.
    """
    if options.device not in DEVICES:
        raise ConfigError(f"unknown device {options.device!r}; known: {', '.join(DEVICES)}")
    if options.precision not in PRECISIONS:
        raise ConfigError(f"unknown precision {options.precision!r}; known: {', '.join(PRECISIONS)}")
    if engine == "onnxruntime":
        from cellbatch.inference.onnxruntime_engine import OnnxruntimeEngine

        return OnnxruntimeEngine(weights, options)
    if engine == "tensorflow":
        from cellbatch.inference.tensorflow_engine import TensorflowEngine

        return TensorflowEngine(weights, options)
    if engine == DEEPCELL:
        raise ConfigError(
            "--engine deepcell is DeepCell's own code from the image to its labels, and gives no heads; run the "
            "pipeline, or cellbatch segment, without a preview"
        )
    raise ConfigError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")


def natural_order(names: Mapping[str, object] | list[str]) -> tuple[str, ...]:
    """Sort names with the numbers inside them as numbers.

    Examples
    --------
    >>> natural_order(["head_10", "head_2"])
    ('head_2', 'head_10')
    """
    return tuple(
        sorted(
            names,
            key=lambda name: [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in re.split(r"(\d+)", name)],
        )
    )
