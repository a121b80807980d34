"""ONNX Runtime: the fast engine, and the default one."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from cellbatch.errors import ConfigError, EngineError, InputError
from cellbatch.inference.engine import EngineOptions, OutOfDeviceMemory, natural_order

logger = logging.getLogger(__name__)

TENSORRT_PROVIDER = "TensorrtExecutionProvider"
GPU_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"
# words of CUDA's, cuDNN's and the arena's errors when memory is short
MEMORY_WORDS = ("out of memory", "failed to allocate memory", "alloc_failed", "cuda_error_out_of_memory", "bfcarena")


def is_gpu_visible() -> bool:
    """Whether this machine shows an NVIDIA device at all."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


class OnnxruntimeEngine:
    """An ONNX network in an ONNX Runtime session.

    Parameters
    ----------
    weights : path of the ONNX file
    options : device, threads and precision

    Raises
    ------
    ConfigError
        If ``gpu`` is asked for and the runtime has no CUDA provider, or the precision needs what is not there.
    EngineError
        If a GPU is there and fails to start.
    InputError
        If the file cannot be loaded.
    """

    def __init__(self, weights: str, options: EngineOptions) -> None:
        # at its import the runtime writes a device identifier into the user's home, unless told before
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        is_gpu = _choose_gpu(onnxruntime, options)
        if is_gpu and hasattr(onnxruntime, "preload_dlls"):
            # CUDA and cuDNN from NVIDIA's wheels, as in the GPU image, lie where the loader does not look
            onnxruntime.preload_dlls()
        self._runtime = onnxruntime
        network = _to_half(weights) if options.precision == "fp16" else weights
        self._session = self._start(weights, network, options, is_gpu)
        self.device = "gpu" if GPU_PROVIDER in self._session.get_providers() else "cpu"
        if is_gpu and self.device == "cpu":
            raise EngineError("a GPU is visible, but ONNX Runtime could not start on it and fell back to the CPU")
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise InputError(f"{weights}: a network with one input was expected, found {len(inputs)} inputs")
        self._input = inputs[0].name
        self._names = [output.name for output in self._session.get_outputs()]
        self.outputs = natural_order(self._names)

    def predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Heads of float32 (N, Y, X, C) tiles, by output name.

        The tiles are bound where they lie; the heads are copied from the device once.
        """
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input, np.ascontiguousarray(tiles, np.float32))
        for name in self._names:
            binding.bind_output(name)
        try:
            self._session.run_with_iobinding(binding)
            return dict(zip(self._names, binding.copy_outputs_to_cpu(), strict=True))
        except Exception as error:  # the runtime has no public root of its errors
            if any(word in str(error).lower() for word in MEMORY_WORDS):
                raise OutOfDeviceMemory(
                    f"{len(tiles)} tiles per call do not fit into the {self.device}'s memory"
                ) from error
            if self.device == "gpu":
                raise EngineError(f"the GPU failed while it ran the network: {error}") from error
            raise InputError(f"the network cannot run on tiles of shape {tiles.shape[1:]}: {error}") from error

    def _start(self, weights: str, network: str | bytes, options: EngineOptions, is_gpu: bool) -> Any:
        """Open the session; an error of the device is told from one of the file by a trial on the CPU."""
        try:
            return self._open(network, options, is_gpu)
        except Exception as error:  # the runtime has no public root of its errors
            fault = error
        if is_gpu:
            try:
                self._open(network, options, False)
            except Exception:  # the file is at fault, whatever the device says
                logger.debug("the network does not load on the CPU either")
            else:
                raise EngineError(f"a GPU is visible, but ONNX Runtime could not start on it: {fault}") from fault
        raise InputError(
            f"{weights}: ONNX Runtime cannot load this network: {fault}; it may be truncated, or need operators or "
            "files of its own: export or fetch it again"
        ) from fault

    def _open(self, network: str | bytes, options: EngineOptions, is_gpu: bool) -> Any:
        settings = self._runtime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        providers: list[Any] = [CPU_PROVIDER]
        if is_gpu:
            providers.insert(0, (GPU_PROVIDER, _cuda_options(options)))
            if options.tensorrt_cache:
                providers.insert(0, (TENSORRT_PROVIDER, _tensorrt_options(options)))
        return self._runtime.InferenceSession(network, settings, providers=providers)


def _choose_gpu(onnxruntime: Any, options: EngineOptions) -> bool:
    """Whether the GPU is used; what was asked for and cannot be is an error, never a quiet change."""
    available = onnxruntime.get_available_providers()
    is_visible = is_gpu_visible()
    has_gpu = GPU_PROVIDER in available and is_visible
    if options.device == "gpu" and not has_gpu:
        raise ConfigError(
            f"--device gpu was asked for, but no GPU can be used: NVIDIA device visible: {is_visible}; "
            f"ONNX Runtime providers: {', '.join(available)}; "
            "use a machine with a GPU and onnxruntime-gpu (or the GPU container), or choose --device cpu"
        )
    is_gpu = has_gpu and options.device != "cpu"
    if options.device == "auto" and is_visible and not has_gpu:
        logger.warning("an NVIDIA GPU is visible, but this ONNX Runtime has no CUDA provider: running on the CPU")
    if not is_gpu and options.precision == "tf32":
        raise ConfigError("--precision tf32 is a mode of NVIDIA GPUs; on the CPU choose float32 or fp16")
    if options.tensorrt_cache and is_gpu and TENSORRT_PROVIDER not in available:
        raise ConfigError(
            "--tensorrt_cache was given, but this ONNX Runtime has no TensorRT; install TensorRT or leave it"
        )
    return is_gpu


def _cuda_options(options: EngineOptions) -> dict[str, str]:
    """Set the CUDA provider up: float32 means float32, and a convolution is always done in the same way."""
    return {
        # without this, Ampere and newer GPUs round products to 10 bits
        "use_tf32": "1" if options.precision == "tf32" else "0",
        # an exhaustive search times the algorithms and takes another one from run to run
        "cudnn_conv_algo_search": "HEURISTIC",
        # the arena grows by what is needed, not by doubling: halved batches find room
        "arena_extend_strategy": "kSameAsRequested",
    }


def _tensorrt_options(options: EngineOptions) -> dict[str, str]:
    """Set TensorRT up: what it builds in minutes is kept."""
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": options.tensorrt_cache,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": options.tensorrt_cache,
        "trt_fp16_enable": "1" if options.precision == "fp16" else "0",
    }


def _to_half(weights: str) -> bytes:
    """Convert the network to 16-bit floats, with float32 at its ends."""
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise ConfigError(
            f"--precision fp16 needs the package {error.name}, which is not installed here; install it with "
            "pip install 'cellbatch[fp16]', or choose --precision float32"
        ) from error
    return bytes(convert_float_to_float16(onnx.load(weights), keep_io_types=True).SerializeToString())
