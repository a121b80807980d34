"""Peak memory of the cells table on an image that is drawn window by window.

``python benchmarks/memory_measure.py [--side 16384] [--channels 4]``
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from results import Results, add_csv_option

from cellbatch.io.row_spool import RowSpool
from cellbatch.io.tables import write_table_pieces
from cellbatch.measurement.cells import columns_of, measure_blocks, table_frame
from cellbatch.measurement.regions import MeasuredImage, survey_labels
from cellbatch.spec import Window

PITCH = 22
MB = 1e6


def draw(side: int, window: Window, radius: float) -> np.ndarray:
    """Draw round cells on a grid, numbered row by row."""
    y, x = (np.arange(first, last) for first, last in ((window.y0, window.y1), (window.x0, window.x1)))
    columns = -(-side // PITCH)
    labels = ((y // PITCH)[:, None] * columns + (x // PITCH)[None] + 1).astype(np.uint32)
    middle = (PITCH - 1) / 2
    labels[((y % PITCH - middle) ** 2)[:, None] + ((x % PITCH - middle) ** 2)[None] > radius**2] = 0
    return labels


def main() -> None:
    """Print cells, time and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--channels", type=int, default=4)
    add_csv_option(parser)
    options = parser.parse_args()
    side = options.side
    results = Results(options.csv, ("side_px", "channels", "cells", "columns", "cpu_s", "peak_mb", "before_mb"))

    def read_channel(position: int, window: Window) -> np.ndarray:
        y = np.arange(window.y0, window.y1, dtype=np.uint32) * np.uint32(2654435761 + position)
        x = np.arange(window.x0, window.x1, dtype=np.uint32) * np.uint32(40503)
        return ((y[:, None] ^ x[None]) >> np.uint32(16)).astype(np.uint16)

    image = MeasuredImage(
        shape=(side, side),
        image_mpp=0.5,
        channel_names=tuple(map(str, range(options.channels))),
        read_labels=lambda window: draw(side, window, 9.5),
        read_channel=read_channel,
        read_nuclei=lambda window: draw(side, window, 5),
    )
    start = time.process_time()
    base_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    survey = survey_labels(image)
    columns = columns_of(image)
    with tempfile.TemporaryDirectory() as folder:
        with RowSpool(len(survey.labels), len(columns)) as spool:
            for block in measure_blocks(image, survey):
                spool.write(block.rows, block.values)
            write_table_pieces(
                (table_frame(columns, values) for values in spool.pieces()), Path(folder) / "t", "parquet"
            )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
    seconds = time.process_time() - start
    print(
        f"{side}x{side} px, {len(survey.labels)} cells, {len(columns)} columns: {seconds:.0f} s of processor time, "
        f"peak {peak_mb:.0f} MB ({base_mb:.0f} MB before)"
    )
    found = {"cells": len(survey.labels), "columns": len(columns), "cpu_s": seconds}
    results.add(side_px=side, channels=options.channels, **found, peak_mb=peak_mb, before_mb=base_mb)


if __name__ == "__main__":
    main()
