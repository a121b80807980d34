"""The protocol of an engine, and the choice among the engines there are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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


def predict_tiles(
    predict: Predict, tiles: Sequence[np.ndarray], tile_batch: int, heads: Sequence[str]
) -> Iterator[Mapping[str, np.ndarray]]:
    """Heads of each tile, in order, through model calls of one fixed shape.

    The last call is filled up with zeros, so that every call has the same shape and the runtime the same plan.

    Parameters
    ----------
    predict : an engine's method of this name
    tiles : float32 (Y, X, C) each
    tile_batch : tiles per model call
    heads : the outputs to keep

    Yields
    ------
    mapping of head name to float32 (Y, X, K)
    """
    for start in range(0, len(tiles), tile_batch):
        group = [tiles[i] for i in range(start, min(start + tile_batch, len(tiles)))]
        call = np.zeros((tile_batch, *group[0].shape), np.float32)
        call[: len(group)] = group
        answer = predict(call)
        for i in range(len(group)):
            yield {head: answer[head][i] for head in heads}
