"""TensorFlow: runs the SavedModel of the same network, for those who want to compare."""

from contextlib import suppress

import numpy as np

from cellbatch.errors import ConfigError, InputError
from cellbatch.inference.engine import EngineOptions, OutOfDeviceMemory, natural_order


class TensorflowEngine:
    """A SavedModel's serving signature.

    Parameters
    ----------
    weights : path of the SavedModel folder
    options : device, threads and precision

    Raises
    ------
    ConfigError
        If TensorFlow is not installed, or ``gpu`` is asked for and TensorFlow sees none.
    InputError
        If the folder is not a SavedModel with a serving signature of one input.
    """

    def __init__(self, weights: str, options: EngineOptions) -> None:
        try:
            import tensorflow
        except ImportError as error:
            raise ConfigError(
                "--engine tensorflow needs TensorFlow, which is not installed here; "
                "install it with: pip install 'cellbatch[tensorflow]'"
            ) from error
        if options.precision == "fp16":
            raise ConfigError("--precision fp16 is not known to --engine tensorflow; choose onnxruntime or tf32")
        gpus = tensorflow.config.list_physical_devices("GPU")
        if options.device == "gpu" and not gpus:
            raise ConfigError("--device gpu was asked for, but TensorFlow sees no GPU; choose --device cpu")
        tensorflow.config.experimental.enable_tensor_float_32_execution(options.precision == "tf32")
        # the runtime takes this number only before its first use in a process; labels do not depend on it
        with suppress(RuntimeError):
            tensorflow.config.threading.set_intra_op_parallelism_threads(options.threads)
        self.device = "gpu" if gpus and options.device != "cpu" else "cpu"
        try:
            # kept alive: a signature holds only weak references to its variables
            self._model = tensorflow.saved_model.load(weights)
            self._serve = self._model.signatures["serving_default"]
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{weights}: not a SavedModel with a serving_default signature: {error}") from error
        inputs = self._serve.structured_input_signature[1]
        if len(inputs) != 1:
            raise InputError(f"{weights}: a network with one input was expected, found {sorted(inputs)}")
        self._input = next(iter(inputs))
        self.outputs = natural_order(list(self._serve.structured_outputs))
        self._tensorflow = tensorflow

    def predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Heads of float32 (N, Y, X, C) tiles, by output name."""
        with self._tensorflow.device("/GPU:0" if self.device == "gpu" else "/CPU:0"):
            pixels = self._tensorflow.constant(np.ascontiguousarray(tiles, np.float32))
            try:
                answer = self._serve(**{self._input: pixels})
            except self._tensorflow.errors.ResourceExhaustedError as error:
                raise OutOfDeviceMemory(f"{len(tiles)} tiles per call do not fit into memory") from error
        return {name: head.numpy() for name, head in answer.items()}
