"""The protocol of an engine, and the choice among the engines there are."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from cellbatch.errors import ConfigError

ENGINES = ("onnxruntime", "tensorflow")
WEIGHTS_FORM = {"onnxruntime": "onnx", "tensorflow": "saved_model"}
DEVICES = ("auto", "cpu", "gpu")
TILE_BATCH = {"cpu": 1, "gpu": 16}


Predict = Callable[[np.ndarray], Mapping[str, np.ndarray]]


class Engine(Protocol):
    """One loaded network on one device.

    Attributes
    ----------
    device : the device that really runs the network, ``cpu`` or ``gpu``
    """

    device: str

    def predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Heads of a batch of tiles.

        Parameters
        ----------
        tiles : float32 (N, Y, X, C)

        Returns
        -------
        dict of head name to float32 (N, Y, X, K)
        """
        ...


def load_engine(engine: str, weights: str, *, device: str = "auto", threads: int = 1) -> Engine:
    """Load a network once; the runtime is imported here and nowhere else.

    Parameters
    ----------
    engine : ``onnxruntime`` or ``tensorflow``
    weights : path of the ONNX file or of the SavedModel folder
    device : ``auto`` (a GPU if the runtime sees one), ``cpu`` or ``gpu``
    threads : CPU threads inside one operation

    Raises
    ------
    ConfigError
        If the engine is unknown or not installed, or if ``gpu`` is asked for and none is visible.
    InputError
        If the file is not a network that the runtime can load.
    """
    if device not in DEVICES:
        raise ConfigError(f"unknown device {device!r}; known: {', '.join(DEVICES)}")
    if engine == "onnxruntime":
        from cellbatch.inference.onnxruntime_engine import OnnxruntimeEngine

        return OnnxruntimeEngine(weights, device=device, threads=threads)
    if engine == "tensorflow":
        from cellbatch.inference.tensorflow_engine import TensorflowEngine

        return TensorflowEngine(weights, device=device, threads=threads)
    raise ConfigError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
