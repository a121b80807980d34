"""Builds the native kernels; everything else stands in pyproject.toml."""

import os
import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

FOLDER = Path("src/cellbatch/_native")
SOURCES = sorted(str(path) for path in FOLDER.glob("*.cpp"))
HEADERS = sorted(str(path) for path in FOLDER.glob("*.hpp"))
MODELS = Path("assets/models")

# -ffp-contract=off: a fused multiply-add rounds once where NumPy rounds twice, and labels must not depend on it.
# -fno-trapping-math lets the compiler choose by comparisons of floats in vectors; no value changes with it.
FLAGS = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-trapping-math", "-fvisibility=hidden", "-pthread"]
FLAGS += ["-g0", "-Wno-psabi"]
# The fastest build that the processor runs is chosen at import (cellbatch/_native/library.py).
BUILDS = {"plain": []}
if platform.machine() in {"x86_64", "AMD64"}:
    BUILDS["x86_64_v3"] = ["-march=x86-64-v3"]
    BUILDS["x86_64_v4"] = ["-march=x86-64-v4", "-mprefer-vector-width=512"]

EXTENSIONS = [
    Extension(
        f"cellbatch._native._kernels_{name}",
        SOURCES,
        language="c++",
        extra_compile_args=[*FLAGS, *architecture],
        extra_link_args=["-pthread"],
        depends=HEADERS,
    )
    for name, architecture in BUILDS.items()
]


class BuildKernels(build_ext):
    """Builds the same sources several times, each into a folder of its own, and several files at once."""

    def build_extension(self, ext: Extension) -> None:
        """Compile and link one build."""
        folder = str(Path(self.build_temp) / ext.name)

        def compile_one(source: str) -> list[str]:
            return self.compiler.compile(
                [source], output_dir=folder, extra_postargs=ext.extra_compile_args, depends=ext.depends
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = [name for names in pool.map(compile_one, ext.sources) for name in names]
        target = self.get_ext_fullpath(ext.name)
        self.compiler.link_shared_object(
            objects, target, extra_postargs=ext.extra_link_args, build_temp=folder, target_lang=ext.language
        )


class BuildWithModels(build_py):
    """Takes the models that ship with the project along, for ``cellbatch segment``; Nextflow stages its own."""

    def run(self) -> None:
        """Copy them to where an installed package looks for them, see ``cellbatch/phases/model_shelves.py``."""
        super().run()
        if MODELS.is_dir() and not self.editable_mode:
            shutil.copytree(MODELS, Path(self.build_lib) / "cellbatch" / MODELS, dirs_exist_ok=True)


setup(ext_modules=EXTENSIONS, cmdclass={"build_ext": BuildKernels, "build_py": BuildWithModels})
