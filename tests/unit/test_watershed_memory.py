"""Memory that the labels take beyond their inputs."""

import subprocess
import sys
from pathlib import Path

import pytest

MOST_BYTES_PER_PX = 14
MOST_BYTES_BY_BLOCKS = {1: 130e6, 2: 300e6}  # by threads
SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from scipy import ndimage
from cellbatch.postprocessing import deep_watershed
from cellbatch.postprocessing.blocks import BlockOptions, label_by_blocks
from cellbatch.spec import WatershedOptions

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

size, way, threads = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
piece = ndimage.gaussian_filter(np.random.default_rng(0).random((512, 512)), 3).astype(np.float32)
piece = (piece - piece.min()) / np.ptp(piece)
maps = [np.tile(piece, (size // 512, size // 512)) for _ in range(2)]
options = {"maxima_threshold": 0.02, "interior_threshold": 0.4}
labels = np.ones((size, size), np.uint32) if way == "blocks" else None
deep_watershed(piece, piece, **options)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
if way == "blocks":
    label_by_blocks(*maps, labels, WatershedOptions(**options), BlockOptions(threads=threads))
else:
    labels = deep_watershed(*maps, **options)
assert labels.max() > 1000
print(peak() - before)
"""


def peak_beyond_inputs(size: int, way: str, threads: int = 1) -> int:
    """Bytes, in a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the system does not tell the peak of a part of a process")
    command = [sys.executable, "-c", SCRIPT, str(size), way, str(threads)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_labels_in_memory_take_few_bytes_per_pixel():
    assert peak_beyond_inputs(2048, "memory") / 2048**2 <= MOST_BYTES_PER_PX


@pytest.mark.parametrize("threads", [1, 2])
def test_labels_by_blocks_take_what_a_block_takes(threads):
    assert peak_beyond_inputs(3072, "blocks", threads) <= MOST_BYTES_BY_BLOCKS[threads]
