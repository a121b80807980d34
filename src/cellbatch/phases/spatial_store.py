"""The SpatialData store of one sample: what is gathered while its cells are measured, and the store itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pandas as pd

from cellbatch.io.anndata import AnnDataLayout
from cellbatch.io.handoff_reader import HandoffReader
from cellbatch.io.outlines import OutlineWriter
from cellbatch.io.spatialdata import StoreElements, write_spatialdata
from cellbatch.phases.label_files import LABEL_NAMES, segmented_channels
from cellbatch.phases.samples import sample_file
from cellbatch.phases.sources import SampleImage
from cellbatch.spec import SampleSpec

SPATIALDATA = "spatialdata"


class SpatialStore:
    """A store on its way.

    Parameters
    ----------
    sample : what was segmented
    image : its opened channels
    labels : hand-off of POSTPROCESS_LABELS
    folder : gets ``<sample>.zarr``
    """

    def __init__(self, sample: SampleSpec, image: SampleImage, labels: HandoffReader, folder: Path) -> None:
        self._sample, self._image, self._labels, self._folder = sample, image, labels, folder
        self._outlines = Path()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Keep a place for the outlines, which are gathered before the store is written."""
        with tempfile.TemporaryDirectory(prefix=".outlines.", dir=self._folder) as scratch:
            self._outlines = Path(scratch) / "outlines.parquet"
            yield self._outlines

    def outline_writer(self) -> OutlineWriter:
        """Writer of the outlines; see ``scratch``."""
        return OutlineWriter(self._outlines)

    def write(self, pieces: Iterable[pd.DataFrame], rows: int, layout: AnnDataLayout) -> None:
        """Write the store; the arguments describe its table as in ``write_anndata``."""
        held = self._labels.names(self._sample.sample)
        elements = StoreElements(
            image=segmented_channels(self._sample, self._image),
            labels=[name for name in LABEL_NAMES if name in held],
            read=partial(self._labels.read, self._sample.sample),
            outlines=self._outlines,
        )
        write_spatialdata(sample_file(self._folder, self._sample, "zarr"), elements, pieces, rows, layout)
