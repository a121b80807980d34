"""Golden cases as fixtures: one test per file, skipped where the shared data is absent."""

import os
from pathlib import Path

import numpy as np
import pytest

SHARED_DATA = Path(os.environ.get("CELLBATCH_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
GOLDEN = SHARED_DATA / "golden"
# fixture → where its files lie, and the fewest there must be, so that a missing file cannot pass unnoticed
CASES = {
    "golden_case": ("*.npz", 5),
    "preprocess_case": ("hard/preprocess_*.npz", 10),
    "resize_case": ("hard/resize_*.npz", 6),
    "tiles_case": ("hard/tiles_*.npz", 4),
    "watershed_case": ("hard/watershed_*.npz", 24),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One parameter per file for each fixture of `CASES` that a test asks for."""
    for fixture, (pattern, fewest) in CASES.items():
        if fixture not in metafunc.fixturenames:
            continue
        files = sorted(GOLDEN.glob(pattern))
        if not files:
            skipped = pytest.param(None, marks=pytest.mark.skip(reason="no shared data"))
            metafunc.parametrize(fixture, [skipped], indirect=True)
            continue
        if len(files) < fewest:
            raise pytest.UsageError(f"{len(files)} files {GOLDEN / pattern}, expected at least {fewest}")
        metafunc.parametrize(fixture, files, ids=[file.stem for file in files], indirect=True)


def _load(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """All arrays of the file."""
    with np.load(request.param, allow_pickle=False) as arrays:
        return dict(arrays)


golden_case = pytest.fixture(_load, name="golden_case")
preprocess_case = pytest.fixture(_load, name="preprocess_case")
resize_case = pytest.fixture(_load, name="resize_case")
tiles_case = pytest.fixture(_load, name="tiles_case")
watershed_case = pytest.fixture(_load, name="watershed_case")
