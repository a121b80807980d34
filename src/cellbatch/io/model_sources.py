"""What a user may name as a model, told apart before anything is unpacked, fetched or converted."""

from __future__ import annotations

import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cellbatch.errors import InputError, let_pass
from cellbatch.io.applications import read_applications
from cellbatch.io.models import MANIFEST_FILE, hash_weights, parse_manifest
from cellbatch.spec import Manifest

MANIFEST_SUFFIX = ".manifest.json"
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz")
KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
# ResNet50 with its heads, as all of DeepCell's archives have it
FETCHED_BYTES = 105_000_000
SAVED_MODEL_FILE = "saved_model.pb"
EXPECTED = (
    f"a folder with {MANIFEST_FILE} and weights, an .onnx file, a SavedModel folder, a .tar.gz with one, "
    f"or a Keras file ({', '.join(KERAS_SUFFIXES)})"
)


@dataclass(frozen=True)
class ModelSource:
    """A model as the user gave it.

    Attributes
    ----------
    form : ``folder`` (manifest and weights), ``fetch`` (a manifest that says where the weights can be fetched),
        ``onnx``, ``saved_model``, ``archive`` or ``keras``
    path : the folder or file
    record : the manifest, before its weights are known
    where : what errors call the manifest's place
    """

    form: str
    path: Path
    record: dict[str, object]
    where: str

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights as they lie there; of an archive that is still to be fetched, about what it has."""
        if self.form == "fetch":
            return FETCHED_BYTES
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if file.is_file())

    @property
    def manifest(self) -> Manifest:
        """The application that these weights belong to."""
        return parse_manifest(self.record, self.where)


def find_source(staged: Path) -> ModelSource:
    """Tell what lies in a folder into which a model was staged, with a manifest beside it or not.

    Parameters
    ----------
    staged : folder with one model, file or folder; for weights without a manifest of their own also a file
        ``manifest.json`` or ``<name>.manifest.json``

    Raises
    ------
    InputError
        If there is no model, more than one, or none that a manifest belongs to.
    """
    entries = sorted(staged.iterdir()) if staged.is_dir() else []
    if (staged / MANIFEST_FILE).is_file() and not any(_form(entry) for entry in entries):
        return _folder_source(staged)
    beside = [entry for entry in entries if entry.is_file() and _is_manifest(entry)]
    models = [entry for entry in entries if entry not in beside]
    if len(models) != 1:
        raise InputError(f"{staged}: one model was expected, found {[entry.name for entry in models]}; give {EXPECTED}")
    return describe_source(models[0], beside)


def describe_source(model: Path, beside: Iterable[Path] = ()) -> ModelSource:
    """Tell what a model is; see ``find_source``.

    Parameters
    ----------
    model : file or folder
    beside : manifests that came with it

    Raises
    ------
    InputError
        If it is none of the known forms, or no manifest belongs to it.
    """
    if model.is_dir() and (model / MANIFEST_FILE).is_file():
        return _folder_source(model)
    form = _form(model)
    if form is None:
        raise InputError(f"{model}: is no model; expected {EXPECTED}")
    places = [path for path in beside if path.name in (MANIFEST_FILE, weights_stem(model.name) + MANIFEST_SUFFIX)]
    if places:
        return ModelSource(form, model, _read_record(places[0]), str(places[0]))
    known = {str(record["archive"]["folder"]): name for name, record in read_applications().items()}
    folder = _archive_folder(model) if form == "archive" else model.name
    if folder in known:
        return ModelSource(form, model, read_applications()[known[folder]], known[folder])
    raise InputError(
        f"{model.name}: which application these weights belong to is not known; put a manifest beside them, named "
        f"{weights_stem(model.name)}{MANIFEST_SUFFIX} (for a network with Mesmer's interface a copy of "
        f"assets/models/mesmer/{MANIFEST_FILE})"
    )


def source_key(source: ModelSource, converter: str) -> str:
    """Name of the folder that a prepared model is kept in: SHA-256 of the source and of what made it.

    Parameters
    ----------
    source : the model
    converter : number of the conversion, and the form of the weights that is wanted

    Returns
    -------
    str
        64 hexadecimal digits
    """
    archive = source.manifest.archive
    content = archive.md5 if source.form == "fetch" and archive else hash_weights(source.path)
    text = "\n".join([source.form, content, json.dumps(source.record, sort_keys=True), converter])
    return hashlib.sha256(text.encode()).hexdigest()


def _folder_source(folder: Path) -> ModelSource:
    """Describe a folder with a manifest: complete, inside a SavedModel, or of an archive to fetch."""
    record = _read_record(folder / MANIFEST_FILE)
    where = str(folder / MANIFEST_FILE)
    if record.get("weights"):
        return ModelSource("folder", folder, record, where)
    if (folder / SAVED_MODEL_FILE).is_file():
        return ModelSource("saved_model", folder, record, where)
    if record.get("archive"):
        return ModelSource("fetch", folder, record, where)
    raise InputError(f"{where}: names neither weights nor an archive to fetch; add the field weights")


def _form(path: Path) -> str | None:
    """Form of weights, by name; ``None`` for anything else."""
    name = path.name.lower()
    if path.is_dir():
        return "saved_model" if (path / SAVED_MODEL_FILE).is_file() else None
    if name.endswith(ARCHIVE_SUFFIXES):
        return "archive"
    if name.endswith(KERAS_SUFFIXES):
        return "keras"
    return "onnx" if name.endswith(".onnx") else None


def _is_manifest(path: Path) -> bool:
    return path.name == MANIFEST_FILE or path.name.endswith(MANIFEST_SUFFIX)


def weights_stem(name: str) -> str:
    """File name without the suffix that tells its form."""
    for suffix in (*ARCHIVE_SUFFIXES, *KERAS_SUFFIXES, ".onnx"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def _archive_folder(archive: Path) -> str:
    """Topmost folder of an archive, from its first entry alone."""
    try:
        with tarfile.open(archive, "r:gz") as entries:
            first = entries.next()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        let_pass(str(archive), error)
        raise InputError(f"{archive}: is no .tar.gz archive or is damaged ({error}); fetch it again") from error
    parts = [part for part in (first.name if first else "").split("/") if part not in ("", ".")]
    return parts[0] if parts else ""


def _read_record(path: Path) -> dict[str, object]:
    """Parse a manifest and check it, so that every later use of it is safe."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        let_pass(str(path), error)
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); correct it") from error
    parse_manifest(record, str(path))
    return dict(record)
