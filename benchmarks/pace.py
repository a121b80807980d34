"""How fast the processor is while something runs on it.

Processors of a virtual machine share cores with other machines: the same instructions take up to twice the processor
time from one second to the next. A fixed piece of work, repeated while a task runs, tells how fast they were then.
"""

import threading
import time
from statistics import fmean
from types import TracebackType

import imagecodecs
import numpy as np

from cellbatch.postprocessing.watershed import deep_watershed

SIDE = 512
PERIOD_S = 0.2


class Pace:
    """Samples, in a thread of its own, the processor time of a fixed piece of work: labels of a map, compressed.

    Attributes
    ----------
    seconds : mean processor time of the piece, s
    """

    def __init__(self) -> None:
        """Draw the map."""
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
        self._interior = (np.sin(y / 9) * np.sin(x / 7)) ** 2
        self._end = threading.Event()
        self._samples: list[float] = []
        self._thread = threading.Thread(target=self._run)

    @property
    def seconds(self) -> float:
        """Mean over the samples."""
        return fmean(self._samples)

    def __enter__(self) -> "Pace":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End with the sample that is being taken."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            clock = time.thread_time()
            labels = deep_watershed(self._interior, self._interior, maxima_threshold=0.1)
            imagecodecs.deflate_encode(labels.tobytes(), 6)
            self._samples.append(time.thread_time() - clock)
            if self._end.wait(PERIOD_S):
                return
