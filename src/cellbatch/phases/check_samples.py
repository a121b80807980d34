"""Rows of the samplesheet become samples: every file's header read, every channel and pixel size settled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from cellbatch.errors import InputError
from cellbatch.geometry.scale import model_shape
from cellbatch.io.folders import is_collection
from cellbatch.io.samplesheet import Row, check_file_name
from cellbatch.phases.sources import open_collection, open_source, staged_path
from cellbatch.preprocessing.channels import resolve_recipe
from cellbatch.spec import SAMPLE_NAME, ImageHeader, ImageSource, SampleSpec

ROLES = {"image": "image", "nuclear_image": "nuclear", "membrane_image": "membrane"}
BLANK = "none"
# pixel sizes of two files that differ by more contradict each other
MPP_TOLERANCE = 0.01


@dataclass(frozen=True)
class Fallbacks:
    """Parameters that stand in for empty cells, and whether the run needs a membrane at all."""

    image_mpp: float | None = None
    nuclear_channel: str = ""
    membrane_channel: str = ""
    needs_membrane: bool = True
    model_mpp: float = 0.5


@dataclass(frozen=True)
class StagedFile:
    """What the launch saw of one path cell.

    ``state`` is ``staged``, ``missing`` or ``refused``; ``entries`` lists, for a folder, each file's relative path,
    size in bytes and modification time.
    """

    column: str
    path: str
    state: str
    position: int = 0
    entries: tuple[tuple[str, int, int], ...] = ()


@dataclass
class CheckedRow:
    """One row with its samples, or with what is wrong with it; ``not_read`` names a folder's files of other kinds."""

    row: Row
    files: Sequence[StagedFile]
    samples: list[SampleSpec] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)


def check_row(row: Row, files: Sequence[StagedFile], images: Path, fallbacks: Fallbacks) -> CheckedRow:
    """Open the headers of one row and settle its samples.

    Parameters
    ----------
    row : as the samplesheet gives it
    files : its path cells, as the launch saw them
    images : folder with the staged inputs
    fallbacks : stand in for empty cells

    Returns
    -------
    CheckedRow
        With faults instead of an exception, so that one report can name them all.
    """
    checked = CheckedRow(row, files)
    checked.faults.extend(fault for file in files for fault in _check_staged(row, file))
    if checked.faults:
        return checked
    where = f"row {row.number}, sample {row.sample}, {', '.join(file.path for file in files)}"
    try:
        expanded = list(_expand(row, files, images))
    except InputError as error:
        checked.faults.append(f"{where}: {error}")
        return checked
    members = [sources[0].member for _, sources in expanded]
    checked.not_read = _files_not_read(files, members) if members[0] else []
    for sample, sources in expanded:
        try:
            checked.samples.append(_settle(row, sample, sources, images, fallbacks))
        except ValueError as error:  # an InputError is one, too
            checked.faults.append(f"{where}: {error}")
    checked.samples = [replace(sample, fingerprint=fingerprint(sample, files)) for sample in checked.samples]
    return checked


def fingerprint(sample: SampleSpec, files: Sequence[StagedFile]) -> str:
    """Digest of path, size and time of every file below the folders that a sample reads, empty without any."""
    by_position = {file.position: file.entries for file in files}
    lines = []
    for source in sample.sources:
        member = source.member
        for name, size, modified in by_position.get(source.position, ()):
            if not member or name == member or name.startswith(member + "/"):
                lines.append(f"{source.role}\t{name}\t{size}\t{modified}")
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] if lines else ""


def _check_staged(row: Row, file: StagedFile) -> Iterator[str]:
    """Say what is wrong with a path before anything is opened."""
    where = f"row {row.number}, sample {row.sample}, column {file.column}"
    try:
        check_file_name(file.path)
    except InputError as error:
        yield f"{where}: {error}"
        return
    if file.state == "refused":
        yield f"{where}: {file.path!r} stands in a folder whose name holds braces or control characters; rename it"
    elif file.state != "staged":
        yield f"{where}: no file {file.path!r}; correct the path (relative ones count from the samplesheet's folder)"


def _expand(row: Row, files: Sequence[StagedFile], images: Path) -> Iterator[tuple[str, tuple[ImageSource, ...]]]:
    """List the samples of a row: itself, or one per image of its folder or zip."""
    sources = tuple(ImageSource(ROLES[file.column], file.position) for file in files)
    first = staged_path(images, sources[0].position)
    if row.image and is_collection(first):
        members = open_collection(first).members
        for member in members:
            sample = f"{row.sample}_{_stem(member)}"
            if not SAMPLE_NAME.fullmatch(sample):
                raise InputError(
                    f"the file {member!r} would become the sample {sample!r}; sample names take letters, digits, '_', "
                    "'.', '-' and at most 128 of them: rename the file"
                )
            yield sample, (replace(sources[0], member=member),)
    else:
        yield row.sample, sources


def _files_not_read(files: Sequence[StagedFile], members: Sequence[str]) -> list[str]:
    """List the files of a folder that are no part of any of its images; hidden ones do not count."""
    names = [name for file in files for name, *_ in file.entries]
    visible = [name for name in names if not any(part.startswith(".") for part in PurePosixPath(name).parts)]
    known = set(members)
    return [name for name in visible if known.isdisjoint([name, *map(str, PurePosixPath(name).parents)])]


def _stem(member: str) -> str:
    """File name without folders and without the endings that formats use."""
    name = PurePosixPath(member).name
    for ending in (".ome.tiff", ".ome.tif", ".ome.zarr"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return PurePosixPath(name).stem


def _settle(row: Row, sample: str, sources: tuple[ImageSource, ...], images: Path, fallbacks: Fallbacks) -> SampleSpec:
    """One sample with its shape, pixel size and channels."""
    headers: dict[str, ImageHeader] = {}
    for source in sources:
        with open_source(images, source) as reader:
            headers[source.role] = reader.header
    shapes = {role: header.shape[1:] for role, header in headers.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"the nuclear image is {shapes['nuclear']} px and the membrane image {shapes['membrane']} px")
    first = next(iter(headers.values()))
    image_mpp = _settle_mpp(row, headers, fallbacks)
    model_shape(first.shape[1:], image_mpp, fallbacks.model_mpp)  # an error if no pixel is left
    nuclear, membrane = _settle_channels(row, headers, fallbacks)
    return SampleSpec(
        sample=sample,
        sources=sources,
        shape=first.shape[1:],
        image_mpp=image_mpp,
        nuclear=nuclear,
        membrane=membrane,
        channel_names=tuple(name for header in _named(headers) for name in header),
        dtype=first.dtype,
        columns=row.columns,
    )


def _named(headers: Mapping[str, ImageHeader]) -> Iterator[tuple[str, ...]]:
    """Channel names per file; the only channel of a role's own file is called like the role when it has no name."""
    for role, header in headers.items():
        single = role != "image" and header.shape[0] == 1 and not header.channel_names[0]
        yield (role,) if single else header.channel_names


def _settle_mpp(row: Row, headers: Mapping[str, ImageHeader], fallbacks: Fallbacks) -> float:
    """Column, else the file's metadata, else the parameter, else an error."""
    stated = {role: header.image_mpp for role, header in headers.items() if header.image_mpp is not None}
    from_files = list(stated.values())
    if row.image_mpp is None and from_files and max(from_files) > (1 + MPP_TOLERANCE) * min(from_files):
        said = ", ".join(f"{role} {mpp} um/px" for role, mpp in stated.items())
        raise InputError(f"the files contradict each other: {said}; fill in the column image_mpp with the right one")
    for value in (row.image_mpp, *from_files, fallbacks.image_mpp):
        if value is not None:
            return value
    raise InputError(
        "the pixel size is not known: the column image_mpp is empty and the file does not say; "
        "fill in image_mpp (um per pixel) or give --image_mpp"
    )


def _settle_channels(row: Row, headers: Mapping[str, ImageHeader], fallbacks: Fallbacks) -> tuple[str, str]:
    """Recipes over channel indices for nucleus and membrane; the latter may be empty."""
    if "image" not in headers:
        wanted = row.nuclear_channel or _only(headers["nuclear"]) or fallbacks.nuclear_channel
        nuclear = _resolve(wanted, headers["nuclear"], "nuclear_channel")
        if "membrane" not in headers:
            if row.membrane_channel not in ("", BLANK):
                raise InputError(
                    f"membrane_channel is {row.membrane_channel!r}, but membrane_image is empty; name the file, "
                    "or put all channels into one file and name it in the column image"
                )
            return nuclear, ""
        wanted = row.membrane_channel or _only(headers["membrane"]) or fallbacks.membrane_channel
        return nuclear, _resolve(wanted, headers["membrane"], "membrane_channel")
    header = headers["image"]
    nuclear = row.nuclear_channel or fallbacks.nuclear_channel or _only(header)
    membrane = row.membrane_channel or fallbacks.membrane_channel
    if not membrane and (header.shape[0] == 1 or not fallbacks.needs_membrane):
        membrane = BLANK
    return _resolve(nuclear, header, "nuclear_channel"), _resolve(membrane, header, "membrane_channel")


def _only(header: ImageHeader) -> str:
    return "0" if header.shape[0] == 1 else ""


def _resolve(recipe: str, header: ImageHeader, column: str) -> str:
    """Give a recipe over indices, or an error that names the column and the channels there are."""
    if not recipe:
        known = ", ".join(f"{i} {name}".strip() for i, name in enumerate(header.channel_names))
        blank = f", or {BLANK!r} for a blank one" if column == "membrane_channel" else ""
        raise InputError(
            f"which channel is {column}? the image has {header.shape[0]}: {known}; "
            f"fill in the column {column} or give --{column} (name, index or recipe{blank})"
        )
    if recipe == BLANK and column == "membrane_channel":
        return ""
    return resolve_recipe(recipe, header.channel_names, header.shape[0])
