"""Reading a hand-off file, whole arrays or rectangles of them."""

from __future__ import annotations

import json
import zipfile
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cellbatch.errors import InputError, let_pass
from cellbatch.io.closing import Closing
from cellbatch.io.handoff_format import ROOT, array_prefix, decode_chunk
from cellbatch.io.piece_cache import PieceCache
from cellbatch.spec import Window


class HandoffReader(Closing):
    """Read a hand-off file; threads may share it.

    Parameters
    ----------
    path : file written by ``HandoffWriter``
    cache : keeps decoded chunks, for who reads rectangles that share them; may be shared by several files

    Raises
    ------
    InputError
        if it is absent or damaged
    """

    def __init__(self, path: Path, cache: PieceCache | None = None) -> None:
        """Open the file and read its list of samples."""
        self._path = Path(path)
        self._cache = cache
        try:
            self._zip = zipfile.ZipFile(self._path)
        except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
            let_pass(str(self._path), error)
            raise InputError(f"{self._path}: cannot be read as hand-off file ({error}); run its phase again") from error
        try:
            self._samples = tuple(self._document(ROOT)["attributes"]["samples"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{self._path}: is a Zarr zip, but no hand-off file; give the file of a phase") from error
        self._documents: dict[str, Any] = {}
        self._names: dict[str, list[str]] = {sample: [] for sample in self._samples}
        for key in self._zip.namelist():
            parts = key.split("/")
            if len(parts) == 3 and parts[2] == ROOT:
                self._names.setdefault(parts[0], []).append(parts[1])

    def samples(self) -> tuple[str, ...]:
        """Names of the samples, sorted."""
        return self._samples

    def attributes(self, sample: str) -> dict[str, Any]:
        """Plain values kept with a sample."""
        return dict(self._document(f"{sample}/{ROOT}")["attributes"])

    def names(self, sample: str) -> tuple[str, ...]:
        """Names of a sample's arrays, sorted."""
        if sample not in self._names:
            raise InputError(f"{self._path}: holds no sample {sample}; run the phase that writes it again")
        return tuple(sorted(self._names[sample]))

    def shape(self, sample: str, name: str) -> tuple[int, ...]:
        """Shape of an array."""
        return tuple(self._array(sample, name)["shape"])

    def read(self, sample: str, name: str, window: Window | None = None) -> NDArray[Any]:
        """Read an array, or a rectangle over its last two axes.

        Parameters
        ----------
        sample, name : as written
        window : half-open rectangle over ``(Y, X)``; ``None`` = everything

        Returns
        -------
        ndarray
            the array's type; leading axes are whole

        Raises
        ------
        ValueError
            if the window lies outside
        InputError
            if the array is absent or a chunk is damaged
        """
        document = self._array(sample, name)
        shape = tuple(document["shape"])
        chunks = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
        box = [(0, size) for size in shape]
        if window is not None:
            box[-2:] = [(window.y0, window.y1), (window.x0, window.x1)]
        if any(not 0 <= first <= last <= size for (first, last), size in zip(box, shape, strict=True)):
            raise ValueError(f"{sample}/{name}: window {window} outside of shape {shape}")
        result = np.empty([last - first for first, last in box], document["data_type"])
        ranges = [range(first // chunk, -(-last // chunk)) for (first, last), chunk in zip(box, chunks, strict=True)]
        for index in product(*ranges) if result.size else ():
            values = self._chunk(f"{array_prefix(sample, name)}/c", index, chunks, result.dtype)
            source, target = [], []
            for at, chunk, (first, last) in zip(index, chunks, box, strict=True):
                low, high = max(first, at * chunk), min(last, (at + 1) * chunk)
                source.append(slice(low - at * chunk, high - at * chunk))
                target.append(slice(low - first, high - first))
            result[tuple(target)] = values[tuple(source)]
        return result

    def _array(self, sample: str, name: str) -> Any:
        """Metadata of an array, kept after the first look."""
        key = f"{array_prefix(sample, name)}/{ROOT}"
        if key not in self._documents:
            self._documents[key] = self._document(key)
        return self._documents[key]

    def _document(self, key: str) -> Any:
        """One JSON document."""
        return json.loads(self._entry(key))

    def _chunk(
        self, prefix: str, index: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """One decoded chunk."""
        key = "/".join([prefix, *map(str, index)])
        kept = self._cache.get((self._path, key)) if self._cache else None
        if kept is not None:
            return kept
        data = self._entry(key)
        try:
            values = decode_chunk(data, chunks, dtype)
            if self._cache:
                self._cache.put((self._path, key), values)
            return values
        except (ValueError, imagecodecs.BloscError) as error:
            raise InputError(f"{self._path}: {key} is damaged ({error}); run the phase that writes it again") from error

    def _entry(self, key: str) -> bytes:
        """Bytes of an entry; the zip's checksum is compared."""
        try:
            return self._zip.read(key)
        except KeyError:
            raise InputError(f"{self._path}: holds no {key}; run the phase that writes it again") from None
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, zlib.error) as error:
            let_pass(str(self._path), error)
            raise InputError(f"{self._path}: {key} is damaged ({error}); run the phase that writes it again") from error

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
