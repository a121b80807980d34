"""One row of the samplesheet becomes samples: every file's header read, every channel and pixel size settled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from cellbatch.errors import CellbatchError, ConfigError, InputError, explain_system_error
from cellbatch.io.file_names import check_file_name, file_stem, to_sample_name
from cellbatch.io.folders import is_collection
from cellbatch.io.images import is_supported, opens_in_threads
from cellbatch.io.ome_zarr import ROOT_FILES
from cellbatch.io.prefetch import read_ahead
from cellbatch.io.samplesheet import Fault, Row
from cellbatch.measurement.channels import select_channels
from cellbatch.phases.reader_remarks import collect_warnings, in_users_words
from cellbatch.phases.settle_samples import Fallbacks, settle_sample
from cellbatch.phases.sources import SampleImage, is_empty, open_collection, open_source, staged_path
from cellbatch.spec import SAMPLE_NAME, ImageHeader, ImageSource, SampleSpec

ROLES = {"image": "image", "nuclear_image": "nuclear", "membrane_image": "membrane"}
COLUMN_OF = {role: column for column, role in ROLES.items()}
# what an empty file stands for in a stub run
STUB_HEADER = ImageHeader((2, 1000, 1000), "uint16", ("nuclear", "membrane"), 0.5, "tiff")
# headers of a folder that are read at once: on a mounted bucket each read waits for the network
HEADERS_AHEAD = 16
# path, size in bytes and time of the files of a folder, by the paths above them
FolderEntries = Mapping[str, Sequence[tuple[str, int, int]]]


@dataclass(frozen=True)
class StagedFile:
    """What the launch saw of one path cell.

    ``state`` is ``staged``, ``missing`` or ``refused``; ``entries`` lists, for a folder, each file's relative path,
    size in bytes and modification time; ``uri`` is where the file lies.
    """

    column: str
    path: str
    state: str
    position: int = 0
    entries: tuple[tuple[str, int, int], ...] = ()
    uri: str = ""


@dataclass
class CheckedRow:
    """One row with its samples, and with what is wrong or odd about it.

    ``not_read`` names a folder's files of other kinds; ``remarks`` are pairs of sample and text;
    ``members`` gives the path inside a folder or archive for every sample that comes from one, sound or not.
    """

    row: Row
    files: Sequence[StagedFile]
    samples: list[SampleSpec] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    not_read: list[str] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    members: dict[str, str] = field(default_factory=dict)


@dataclass
class _Look:
    """What the headers of one sample say."""

    spec: SampleSpec | None = None
    faults: list[Fault] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)


def check_row(
    row: Row, files: Sequence[StagedFile], images: Path, fallbacks: Fallbacks, known: Iterable[Fault] = ()
) -> CheckedRow:
    """Open the headers of one row and settle its samples.

    Parameters
    ----------
    row : as the samplesheet gives it
    files : its path cells, as the launch saw them
    images : folder with the staged inputs
    fallbacks : stand in for empty cells
    known : faults of this row that the samplesheet itself showed; their columns are not looked at again

    Returns
    -------
    CheckedRow
        With faults instead of an exception, so that one report can name them all.
    """
    checked = CheckedRow(row, files, faults=list(known))
    faulty = {fault.column for fault in checked.faults}
    staging = [fault for file in files if file.column not in faulty for fault in _check_staged(row, file)]
    checked.faults += staging
    if staging or not files or faulty & ({""} | set(ROLES)):
        return checked
    words = {str(staged_path(images, file.position)): file.path for file in files}
    try:
        expanded = list(_expand(row, files, images))
    except (InputError, OSError) as error:
        text = in_users_words(str(_fault_of(error)), words)
        checked.faults.append(Fault(row.number, files[0].column, text, row.sample))
        return checked
    if "image_mpp" in faulty:
        row = replace(row, image_mpp=None)
    members = [sources[0].member for _, sources in expanded]
    checked.not_read = _files_not_read(files, members) if members[0] else []
    entries = {file.position: index_entries(file) for file in files}
    checked.members = {sample: sources[0].member for sample, sources in expanded if sources[0].member}

    def look(one: tuple[str, tuple[ImageSource, ...]]) -> _Look:
        sample, sources = one
        if sources[0].member and not SAMPLE_NAME.fullmatch(sample):
            text = f"the file {sources[0].member!r} would become the sample {sample!r}, {len(sample)} characters long"
            return _Look(faults=[Fault(row.number, "image", f"{text}; 128 are the most: rename it", row.sample)])
        seen = _Look()
        with collect_warnings(sample, words, seen.remarks):
            seen.spec, faults, remark = _settle(row, sample, sources, images, fallbacks)
        found = [Fault(row.number, column, in_users_words(text, words), sample) for column, text in faults]
        seen.faults = [fault for fault in found if fault.column not in faulty]
        if remark:
            seen.remarks.append((sample, remark))
        return seen

    for seen in read_ahead(expanded, look, HEADERS_AHEAD) if is_read_in_threads(files[0]) else map(look, expanded):
        checked.faults += seen.faults
        checked.remarks += seen.remarks
        if seen.spec is not None and not seen.faults and not faulty:
            checked.samples.append(replace(seen.spec, fingerprint=fingerprint(seen.spec, entries)))
    return checked


def _settle(
    row: Row, sample: str, sources: tuple[ImageSource, ...], images: Path, fallbacks: Fallbacks
) -> tuple[SampleSpec | None, list[tuple[str, str]], str]:
    """One sample with its shape, pixel size and channels; else columns and messages of its faults, and a remark."""
    headers: dict[str, ImageHeader] = {}
    faults: list[tuple[str, str]] = []
    for source in sources:
        if fallbacks.stub and is_empty(images, source):
            headers[source.role] = STUB_HEADER
            continue
        try:
            with open_source(images, source, fallbacks.reading) as reader:
                header = reader.header
            is_named = fallbacks.markers is not None and source.role == "image" and not header.is_colour
            headers[source.role] = fallbacks.markers.rename(header) if is_named else header
        except (InputError, OSError) as error:
            faults.append((COLUMN_OF[source.role], str(_fault_of(error))))
    if faults:
        return None, faults, ""
    settled, faults = settle_sample(row, headers, fallbacks)
    if settled is None:
        return None, faults, ""
    first = next(iter(headers.values()))
    names = tuple(name for header in _named(headers) for name in header)
    try:
        measured = select_channels(fallbacks.measure_channels, names) if fallbacks.measure_channels else ()
    except ValueError as error:
        return None, [("--measure_channels", str(error))], ""
    spec = SampleSpec(
        sample=sample,
        sources=sources,
        shape=first.shape[1:],
        image_mpp=settled.image_mpp,
        nuclear=settled.nuclear,
        membrane=settled.membrane,
        channel_names=names,
        dtype=first.dtype,
        columns=row.columns,
        measured_channels=tuple(measured),
        forced_bytes=sum(header.forced_bytes for header in headers.values()),
        reading=fallbacks.reading,
    )
    try:
        _refuse_lost_chunks(spec, images, headers)
    except InputError as error:
        return None, [(COLUMN_OF[sources[0].role], str(error))], ""
    return spec, [], settled.remark


def _fault_of(error: InputError | OSError) -> CellbatchError:
    """Error of one row; what concerns the whole task, as a full disk does, is raised again."""
    meant = explain_system_error(error) if isinstance(error, OSError) else error
    if not isinstance(meant, InputError | ConfigError):
        raise error
    return meant


def _refuse_lost_chunks(sample: SampleSpec, images: Path, headers: Mapping[str, ImageHeader]) -> None:
    """Look in an OME-Zarr for chunks that were lost on the way: the list of its files tells before pixels are read."""
    if any(header.format.startswith("ome-zarr") for header in headers.values()):
        with SampleImage(sample, images) as image:
            image.missing_chunks(("nuclear", "membrane"))


def is_read_in_threads(file: StagedFile) -> bool:
    """Whether threads may open a file, or the images of a folder, at once; those of an archive are unpacked in turn."""
    if not file.entries:
        return opens_in_threads(file.path)
    names = [name for name, *_ in file.entries]
    is_zarr = any(PurePosixPath(name).name in ROOT_FILES for name in names)
    return not is_zarr and all(opens_in_threads(name) or not is_supported(name) for name in names)


def fingerprint(sample: SampleSpec, entries: Mapping[int, FolderEntries]) -> str:
    """Digest of path, size and time of every file below the folders that a sample reads, empty without any.

    Parameters
    ----------
    sample : with its sources
    entries : position of a staged folder → as ``index_entries`` gives them
    """
    lines = [
        f"{source.role}\t{name}\t{size}\t{modified}"
        for source in sample.sources
        for name, size, modified in entries.get(source.position, {}).get(source.member, ())
    ]
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16] if lines else ""


def index_entries(file: StagedFile) -> FolderEntries:
    """Entries of a staged folder by their own path and by each folder above them, all of them under an empty name."""
    found: dict[str, list[tuple[str, int, int]]] = {}
    for entry in file.entries:
        found.setdefault("", []).append(entry)
        parts = PurePosixPath(entry[0]).parts
        for depth in range(1, len(parts) + 1):
            found.setdefault("/".join(parts[:depth]), []).append(entry)
    return found


def _check_staged(row: Row, file: StagedFile) -> Iterator[Fault]:
    """Say what is wrong with a path before anything is opened."""
    text = ""
    try:
        check_file_name(file.path)
    except InputError as error:
        text = str(error)
    if not text and file.state == "refused":
        text = f"{file.path!r} stands in a folder whose name holds braces or control characters; rename it"
    elif not text and file.state != "staged":
        text = f"no file {file.path!r}; correct the path (relative ones count from the samplesheet's folder)"
    if text:
        yield Fault(row.number, file.column, text, row.sample)


def _expand(row: Row, files: Sequence[StagedFile], images: Path) -> Iterator[tuple[str, tuple[ImageSource, ...]]]:
    """List the samples of a row: itself, or one per image of its folder or zip."""
    sources = tuple(ImageSource(ROLES[file.column], file.position) for file in files)
    first = staged_path(images, sources[0].position)
    if row.image and is_collection(first):
        members = open_collection(first).members
        for member in members:
            sample = to_sample_name(f"{row.sample}_{file_stem(member)}")
            yield sample, (replace(sources[0], member=member),)
    else:
        yield row.sample, sources


def _files_not_read(files: Sequence[StagedFile], members: Sequence[str]) -> list[str]:
    """List the files of a folder that are no part of any of its images; hidden ones do not count."""
    names = [name for file in files for name, *_ in file.entries]
    visible = [name for name in names if not any(part.startswith(".") for part in PurePosixPath(name).parts)]
    known = set(members)
    return [name for name in visible if known.isdisjoint([name, *map(str, PurePosixPath(name).parents)])]


def _named(headers: Mapping[str, ImageHeader]) -> Iterator[tuple[str, ...]]:
    """Channel names per file; the only channel of a role's own file is called like the role when it has no name."""
    for role, header in headers.items():
        single = role != "image" and header.shape[0] == 1 and not header.channel_names[0]
        yield (role,) if single else header.channel_names
