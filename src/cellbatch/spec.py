"""What travels between rooms: frozen records with names, units and the defaults.

Axes are ``CYX`` for images, ``YX`` for labels and ``NYXC`` for model batches; ``(y, x)`` order, half-open windows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

COMPARTMENTS = ("whole_cell", "nuclear")
SAMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# shorter batches do not repay the start of worker processes
SAMPLES_WORTH_A_PROCESS = 16
# larger images, or what the network sees of them, are worked on by rows or blocks
IN_MEMORY_PX = 1 << 22
# a task is repeated until its last attempt: maxRetries in conf/, and the first
LAST_ATTEMPT = 4
COMPARTMENT_CHOICES = ("both", "whole-cell", "nuclear")
# results in files per sample, or in files per batch
LAYOUTS = ("sample", "batch")
TABLE_SUFFIXES = {"parquet": ".parquet", "csv": ".csv"}


class Window(NamedTuple):
    """A half-open rectangle of pixels."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """The rectangle as an index for a ``YX`` array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


@dataclass(frozen=True)
class PreprocessingOptions:
    """Contrast options of an application.

    ``None`` as percentile leaves bright spots as they are; as kernel size it is an eighth of the image along each axis.
    """

    percentile: float | None = 99.9
    clahe_kernel_size: int | None = 128


@dataclass(frozen=True)
class WatershedOptions:
    """Options of ``deep_watershed``; thresholds in units of the heads, sizes in px at ``model_mpp``."""

    maxima_threshold: float = 0.1
    interior_threshold: float = 0.2
    maxima_smooth: float = 0
    interior_smooth: float = 2
    radius: int = 2
    small_objects_threshold: int = 15
    fill_holes_threshold: int = 15


@dataclass(frozen=True)
class HeadChannel:
    """One channel of one output of the network, by its name or its place among the names in natural order."""

    head: str | int
    channel: int = 0


@dataclass(frozen=True)
class CompartmentSpec:
    """Where a compartment's two maps come from, and how labels are made of them."""

    inner_distance: HeadChannel
    interior: HeadChannel
    watershed: WatershedOptions = field(default_factory=WatershedOptions)


@dataclass(frozen=True)
class WeightsFile:
    """One stored form of the network, relative to the manifest."""

    file: str
    sha256: str


@dataclass(frozen=True)
class ArchiveSource:
    """Where the weights can be fetched: a ``key`` of the DeepCell users' site, or an open ``url``.

    ``md5`` is that of the ``.tar.gz``, ``folder`` the SavedModel inside.
    """

    md5: str
    folder: str
    key: str = ""
    url: str = ""

    @property
    def name(self) -> str:
        """File name of the archive."""
        return (self.key or self.url).rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Manifest:
    """An application as data: what the network wants, gives, and how its heads become labels.

    ``heads`` holds the number of channels of each output, where all of them are to be as expected.
    """

    name: str
    version: str
    licence: str
    input_shape: tuple[int, int, int]
    channels: tuple[str, ...]
    model_mpp: float
    preprocessing: PreprocessingOptions
    compartments: Mapping[str, CompartmentSpec]
    weights: Mapping[str, WeightsFile]
    tile_padding: str = "constant"
    tile_stride: float = 0.75
    description: str = ""
    citation: str = ""
    heads: tuple[int, ...] = ()
    archive: ArchiveSource | None = None

    def selected(self, compartment: str) -> dict[str, CompartmentSpec]:
        """Compartments that the choice ``both``, ``whole-cell`` or ``nuclear`` names."""
        wanted = compartment.replace("-", "_")
        return {name: spec for name, spec in self.compartments.items() if wanted in ("both", name)}


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How an image is to be understood where its file leaves a choice.

    Attributes
    ----------
    allow_rgb : take a colour image as channels instead of refusing it
    z_plane : 0-based plane of a z-stack, or time point of a time series
    projection : ``max`` or ``mean`` over the planes of either; empty where a plane is named, or nothing
    """

    allow_rgb: bool = False
    z_plane: int | None = None
    projection: str = ""


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before its pixels are read.

    Attributes
    ----------
    shape : (C, Y, X)
    dtype : NumPy name of the stored type
    channel_names : one per channel, empty strings where the file names none
    image_mpp : µm per px, ``None`` where the file does not say
    format : ``ome-tiff``, ``qptiff``, ``tiff``, ``ome-zarr-0.4``, ``ome-zarr-0.5``, ``npy``, ``npz``, ``png``,
        ``jpeg``, ``czi``, ``lif`` or ``nd2``
    forced_bytes : memory that the format forces on whoever reads a part of it: its largest compressed piece, before
        and after decoding, where that is more than a few tiles (a compressed file in one strip, a picture); else 0
    is_colour : whether the channels are the colours of one picture
    """

    shape: tuple[int, int, int]
    dtype: str
    channel_names: tuple[str, ...]
    image_mpp: float | None
    format: str
    forced_bytes: int = 0
    is_colour: bool = False


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One staged file of a sample.

    ``position`` is the 1-based place among the staged inputs of the task (``images/<position>/<name>``);
    ``member`` is the path inside a folder or zip, empty for a plain file.
    """

    role: str
    position: int
    member: str = ""


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """All that the result of one sample depends on, besides pixels and method options.

    ``nuclear`` and ``membrane`` are recipes over channel indices (``"0"``, ``"max(1,3)"``); an empty membrane
    stands for zeros. ``shape`` is the image's ``(Y, X)``; ``columns`` holds the samplesheet's unknown columns,
    ``measured_channels`` the positions of the channels that are measured (empty: all). ``forced_bytes`` is the memory
    that the files' formats force on a reader, see ``ImageHeader``; ``reading`` is how they are to be understood.
    """

    sample: str
    sources: tuple[ImageSource, ...]
    shape: tuple[int, int]
    image_mpp: float
    nuclear: str
    membrane: str
    channel_names: tuple[str, ...]
    dtype: str
    fingerprint: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    measured_channels: tuple[int, ...] = ()
    forced_bytes: int = 0
    reading: ReadOptions = field(default_factory=ReadOptions)

    def to_json(self) -> dict[str, Any]:
        """Give plain types, without the copies that ``dataclasses.asdict`` makes: a run may have a million samples."""
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        record["reading"] = {name: getattr(self.reading, name) for name in ReadOptions.__dataclass_fields__}
        if self.reading == ReadOptions():
            del record["reading"]
        record["sources"] = [{"role": s.role, "position": s.position, "member": s.member} for s in self.sources]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SampleSpec:
        """Inverse of ``to_json`` after a trip through JSON."""
        return cls(
            **{
                **record,
                "sources": tuple(ImageSource(**source) for source in record["sources"]),
                "shape": tuple(record["shape"]),
                "channel_names": tuple(record["channel_names"]),
                "measured_channels": tuple(record["measured_channels"]),
                "reading": ReadOptions(**record.get("reading", {})),
            }
        )


@dataclass(frozen=True)
class Batch:
    """The samples of one task."""

    batch: str
    samples: tuple[SampleSpec, ...]

    def to_json(self) -> dict[str, Any]:
        """Give a record of plain types; it holds nothing that the result does not depend on."""
        return {"batch": self.batch, "samples": [sample.to_json() for sample in self.samples]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Batch:
        """Inverse of ``to_json``."""
        return cls(record["batch"], tuple(SampleSpec.from_json(sample) for sample in record["samples"]))


def override(options: Any, **values: Any) -> Any:
    """Copy of a record with every value replaced that is not ``None``."""
    return replace(options, **{name: value for name, value in values.items() if value is not None})
