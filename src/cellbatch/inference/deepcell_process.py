"""A process of DeepCell's own Python that labels images with DeepCell's own code; see ``deepcell_runner``."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from cellbatch.errors import CellbatchError, ConfigError, EngineError, InputError
from cellbatch.inference.deepcell_runner import ENVIRONMENT, MACHINE, MEMORY, MODEL
from cellbatch.inference.gpu_meter import GpuMeter, open_gpu_meter

logger = logging.getLogger(__name__)

DEEPCELL_VERSION = "0.12.10"
RUNNER = Path(__file__).with_name("deepcell_runner.py")
# variables by which packages of this Python would get into the other one
FOREIGN_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
REMEDY = (
    "name the Python of an environment with DeepCell as --deepcell_python; "
    "setup/create_reference.sh FOLDER makes one (FOLDER/bin/python)"
)


class DeepcellProcess:
    """DeepCell in a process of its own; threads may share it.

    Parameters
    ----------
    python : path of the interpreter, or of a program that takes the same arguments and starts one in a container

    Attributes
    ----------
    device : where TensorFlow runs the network, ``cpu`` or ``gpu``, once it is loaded
    gpu : says how busy the GPU is; None on a CPU, and where nobody can be asked

    Raises
    ------
    ConfigError
        If there is no such program, or it has another version of DeepCell, or none.
    """

    def __init__(self, python: str) -> None:
        self._python, self._turn, self.device = python, threading.Lock(), ""
        self.gpu: GpuMeter | None = None
        environment = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
        try:
            self._process = subprocess.Popen(
                [python, str(RUNNER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                env=environment,
            )
        except OSError as error:
            raise ConfigError(f"--deepcell_python {python}: cannot be started ({error.strerror}); {REMEDY}") from error
        try:
            self._check_versions()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        if self.gpu:
            self.gpu.stop()
        # closing the pipe lets it end by itself; one that hangs is not waited for
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def load(self, application: str, model: Path, device: str, threads: int) -> float:
        """Load a network.

        Parameters
        ----------
        application : name of a class of ``deepcell.applications``
        model : folder of a SavedModel that Keras wrote
        device : ``auto``, ``cpu`` or ``gpu``
        threads : CPU threads inside one operation

        Returns
        -------
        float
            µm per px at which the application runs its network.

        Raises
        ------
        ConfigError
            If the environment lacks something, or ``gpu`` is asked for and TensorFlow sees none.
        InputError
            If DeepCell cannot load the network.
        """
        request = {"application": application, "model": str(model.resolve()), "device": device, "threads": threads}
        answer = self._ask("load", **request)
        self.device = str(answer["device"])
        self.gpu = open_gpu_meter(self.device)
        return float(answer["model_mpp"])

    def label(self, image: Path, image_mpp: float, labels: Path, options: dict[str, Any]) -> float:
        """Label one image.

        Parameters
        ----------
        image : NPY file, float32 (Y, X, C)
        image_mpp : µm per px
        labels : NPY file to write, integers (Y, X, K)
        options : of the application's ``predict``

        Returns
        -------
        float
            Seconds that it took.

        Raises
        ------
        InputError
            If DeepCell refuses the image.
        EngineError
            If it ran out of memory, the machine failed it, or its process died.
        """
        files = {"image": str(image.resolve()), "labels": str(labels.resolve())}
        return float(self._ask("label", mpp=image_mpp, options=options, **files)["seconds"])

    def _check_versions(self) -> None:
        found = self._ask("versions")["versions"]
        if found.get("deepcell") != DEEPCELL_VERSION:
            raise ConfigError(
                f"--deepcell_python {self._python}: DeepCell {DEEPCELL_VERSION} was expected, found "
                f"{found.get('deepcell', 'none')}; {REMEDY}"
            )
        logger.info("DeepCell's own code: %s", ", ".join(f"{name} {number}" for name, number in found.items()))

    def _ask(self, what: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            try:
                self._process.stdin.write(json.dumps({"do": what, **request}) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except BrokenPipeError:
                line = ""
        try:
            answer = dict(json.loads(line))
        except ValueError as error:
            raise self._silence(what) from error
        if "fault" in answer:
            raise self._explain(answer["fault"], answer["text"])
        return answer

    def _silence(self, what: str) -> CellbatchError:
        """Explain that there is no answer."""
        if what == "versions":
            return ConfigError(f"--deepcell_python {self._python}: is no Python that runs {RUNNER.name}; {REMEDY}")
        return EngineError(
            f"the process of --engine deepcell died at {what!r}, for lack of memory for instance; its own messages "
            "stand above; the task can be tried again with more memory"
        )

    def _explain(self, kind: str, text: str) -> CellbatchError:
        """Make an error of a fault."""
        if kind == ENVIRONMENT:
            return ConfigError(f"--deepcell_python {self._python}: {text}; {REMEDY}")
        if kind == MODEL:
            return InputError(
                f"DeepCell cannot load this network: {text}; --engine deepcell needs a SavedModel that Keras wrote "
                "with a TensorFlow of that environment, such as DeepCell's own archives"
            )
        if kind == MEMORY:
            return EngineError(f"DeepCell ran out of memory: {text}; the task can be tried again with more")
        if kind == MACHINE:
            return EngineError(
                f"the machine failed DeepCell ({text}); look at its disk and its GPU; the task can be tried again"
            )
        return InputError(f"DeepCell refuses the image: {text}")
