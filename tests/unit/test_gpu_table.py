"""The table of a GPU's figures stops at once, and clearly, where there is no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellbatch.inference.onnxruntime_engine import is_gpu_visible

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(is_gpu_visible(), reason="there is a GPU here")
def test_without_a_gpu_it_stops_with_the_code_for_wrong_use():
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_table.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 64
    assert "ERROR: --device gpu was asked for, but no GPU can be used" in done.stderr
    assert done.stdout == ""
