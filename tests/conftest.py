"""Fixtures for all tests, and the settings that make them give the same result each time."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parent.parent

settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def find_shared_data() -> Path:
    """Return the folder of real images and golden arrays, which may be absent."""
    return Path(os.environ.get("CELLBATCH_SHARED_DATA") or PROJECT.parent / "shared" / "data")


def pytest_configure() -> None:
    # pytest-workflow runs in a copy of the project elsewhere, from which the relative path does not lead there.
    os.environ["CELLBATCH_SHARED_DATA"] = str(find_shared_data())


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's top folder."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and golden arrays; the test is skipped where it is absent."""
    folder = find_shared_data()
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; CELLBATCH_SHARED_DATA may name another")
    return folder
