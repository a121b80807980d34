"""Builds the native extension where there is one; everything else stands in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

SOURCES = sorted(str(path) for path in Path("src/cellbatch/_native").glob("*.cpp"))

# -ffp-contract=off: a fused multiply-add rounds once where NumPy rounds twice, and labels must not depend on it.
EXTENSIONS = [
    Extension(
        "cellbatch._native._kernels",
        SOURCES,
        language="c++",
        extra_compile_args=["-std=c++17", "-O3", "-ffp-contract=off"],
        depends=sorted(str(path) for path in Path("src/cellbatch/_native").glob("*.hpp")),
    )
]

setup(ext_modules=EXTENSIONS if SOURCES else [])
