"""The record of a batch on its way to its tasks: text, packed where a batch has very many samples."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cellbatch.spec import Batch

# each record travels through the engine as a value, twice; a million samples must not fill its memory
PACK_ABOVE_BYTES = 1 << 16
PACKED = "zlib:"


class BatchRecord(Mapping[str, Any]):
    """A batch as ``Batch.to_json`` gives it, made when it is looked at.

    Parameters
    ----------
    batch : what the record holds
    measured : with what only the measurement depends on: the samplesheet's own columns, the channels to measure
    """

    def __init__(self, batch: Batch, *, measured: bool) -> None:
        self._batch, self._measured = batch, measured

    def to_json(self) -> dict[str, Any]:
        """Give plain types."""
        if self._measured:
            return self._batch.to_json()
        samples = tuple(replace(sample, columns={}, measured_channels=()) for sample in self._batch.samples)
        return replace(self._batch, samples=samples).to_json()

    def __getitem__(self, key: str) -> Any:
        """Give one of ``batch`` and ``samples``."""
        return self.to_json()[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the fields."""
        return iter(Batch.__dataclass_fields__)

    def __len__(self) -> int:
        """Count the fields."""
        return len(Batch.__dataclass_fields__)

    @property
    def sample_names(self) -> list[str]:
        """Identifiers of the samples, in order."""
        return [sample.sample for sample in self._batch.samples]


def encode_record(record: Mapping[str, Any]) -> str:
    """Give the text of a record, one line; a long one is packed.

    Examples
    --------
    >>> encode_record({"samples": [], "batch": "b1"})
    '{"batch": "b1", "samples": []}'
    """
    # a Mapping made when it is looked at would be made for each of its names
    fields = record.to_json() if isinstance(record, BatchRecord) else dict(record)
    text = json.dumps(fields, sort_keys=True)
    if len(text) <= PACK_ABOVE_BYTES:
        return text
    return PACKED + base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def decode_record(text: str) -> Batch:
    """Inverse of ``encode_record``."""
    text = text.strip()
    if text.startswith(PACKED):
        text = zlib.decompress(base64.b64decode(text.removeprefix(PACKED))).decode()
    return Batch.from_json(json.loads(text))
