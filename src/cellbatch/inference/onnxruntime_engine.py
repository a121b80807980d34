"""ONNX Runtime: the fast engine, and the default one."""

import os
from pathlib import Path

import numpy as np

from cellbatch.errors import ConfigError, EngineError, InputError

GPU_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"
# float32 means float32: without this, Ampere and newer GPUs round products to 10 bits
GPU_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def is_gpu_visible() -> bool:
    """Whether this machine shows an NVIDIA device at all."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


class OnnxruntimeEngine:
    """An ONNX network in an ONNX Runtime session.

    Parameters
    ----------
    weights : path of the ONNX file
    device : ``auto``, ``cpu`` or ``gpu``
    threads : CPU threads inside one operation

    Raises
    ------
    ConfigError
        If ``gpu`` is asked for and the runtime has no CUDA provider.
    EngineError
        If a GPU is there and fails to start.
    InputError
        If the file cannot be loaded.
    """

    def __init__(self, weights: str, *, device: str = "auto", threads: int = 1) -> None:
        # at its import the runtime writes a device identifier into the user's home, unless told before
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        has_gpu = GPU_PROVIDER in onnxruntime.get_available_providers() and is_gpu_visible()
        if device == "gpu" and not has_gpu:
            raise ConfigError(
                f"--device gpu was asked for, but no GPU can be used: NVIDIA device visible: {is_gpu_visible()}; "
                f"ONNX Runtime providers: {', '.join(onnxruntime.get_available_providers())}; "
                "use a machine with a GPU and onnxruntime-gpu (or the GPU container), or choose --device cpu"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers: list = [CPU_PROVIDER]
        if has_gpu and device != "cpu":
            providers.insert(0, (GPU_PROVIDER, GPU_OPTIONS))
        try:
            self._session = onnxruntime.InferenceSession(weights, options, providers=providers)
        except Exception as error:  # the runtime has no public root of its errors
            raise InputError(f"{weights}: ONNX Runtime cannot load this network: {error}") from error
        self.device = "gpu" if GPU_PROVIDER in self._session.get_providers() else "cpu"
        if device == "gpu" and self.device == "cpu":
            raise EngineError("a GPU is visible, but ONNX Runtime could not start on it and fell back to the CPU")
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise InputError(f"{weights}: a network with one input was expected, found {len(inputs)} inputs")
        self._input = inputs[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Heads of float32 (N, Y, X, C) tiles, by output name."""
        answer = self._session.run(self._outputs, {self._input: np.ascontiguousarray(tiles, np.float32)})
        return dict(zip(self._outputs, answer, strict=True))
