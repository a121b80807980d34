"""DeepCell's own application, in DeepCell's own Python: a script for that interpreter, beside the process that asks.

Each line of standard input is a request, a JSON object with ``do``; each line of standard output an answer. Arrays
travel as NPY files. It uses the public interface of DeepCell's applications, imports nothing of this package, and runs
on Python 3.8 and later.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TextIO

# what an answer calls the side that is at fault
ENVIRONMENT, MODEL, IMAGE, MEMORY, MACHINE = "environment", "model", "image", "memory", "machine"
PACKAGES = ("deepcell", "deepcell-toolbox", "tensorflow", "scikit-image", "numpy")


class Fault(Exception):
    """Something that the asking side can explain to its user."""

    def __init__(self, kind: str, text: object) -> None:
        super().__init__(str(text))
        self.kind = kind


class Runner:
    """One application with its network in memory."""

    def versions(self, request: dict[str, Any]) -> dict[str, Any]:
        """Versions of the packages that decide the labels; an absent one is left out."""
        found = {}
        for name in PACKAGES:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return {"versions": found, "python": sys.version.split()[0]}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Load a Keras SavedModel (``model``) into the class ``application``, on ``device``."""
        if request["device"] == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        try:
            self.tensorflow = import_module("tensorflow")
            applications = import_module("deepcell.applications")
        except ImportError as error:
            raise Fault(ENVIRONMENT, error) from error
        gpus = self.tensorflow.config.list_physical_devices("GPU")
        if request["device"] == "gpu" and not gpus:
            raise Fault(ENVIRONMENT, "its TensorFlow sees no GPU, but --device gpu was asked for")
        self.tensorflow.config.threading.set_intra_op_parallelism_threads(request["threads"])
        try:
            network = self.tensorflow.keras.models.load_model(request["model"], compile=False)
            self.application = getattr(applications, request["application"])(model=network)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise Fault(MODEL, error) from error
        return {"device": "gpu" if gpus else "cpu", "model_mpp": float(self.application.model_mpp)}

    def label(self, request: dict[str, Any]) -> dict[str, Any]:
        """Label the image (Y, X, C) of the file ``image`` and write (Y, X, K) to ``labels``."""
        numpy, errors = import_module("numpy"), self.tensorflow.errors
        clock = time.perf_counter()
        try:
            pixels = numpy.load(request["image"])
            found = self.application.predict(pixels[None], image_mpp=request["mpp"], **request["options"])
            # an open file, because a path would get the suffix of NPY files
            with open(request["labels"], "wb") as file:
                numpy.save(file, found[0])
        except (MemoryError, errors.ResourceExhaustedError) as error:
            raise Fault(MEMORY, str(error) or type(error).__name__) from error
        except ValueError as error:
            raise Fault(IMAGE, error) from error
        except (OSError, errors.InternalError, errors.UnknownError) as error:
            # the latter two are how TensorFlow tells of a GPU that fails
            raise Fault(MACHINE, f"{type(error).__name__}: {error}") from error
        except Exception as error:
            # one image must not take those behind it along; whoever looks for the reason finds it in the log
            traceback.print_exc()
            raise Fault(IMAGE, f"{type(error).__name__}: {error}") from error
        return {"seconds": time.perf_counter() - clock}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until there are no more."""
    runner = Runner()
    for line in requests:
        request = json.loads(line)
        try:
            answer = getattr(runner, request["do"])(request)
        except Fault as fault:
            answer = {"fault": fault.kind, "text": str(fault)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    # what libraries print must not look like an answer
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, own)
