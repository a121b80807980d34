"""Model folders: a manifest and the weights it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from jsonschema import Draft202012Validator

from cellbatch.errors import InputError, let_pass
from cellbatch.io.schemas import load_schema
from cellbatch.spec import (
    ArchiveSource,
    CompartmentSpec,
    HeadChannel,
    Manifest,
    PreprocessingOptions,
    WatershedOptions,
    WeightsFile,
)

MANIFEST_FILE = "manifest.json"
READ_BYTES = 1 << 20


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a model folder.

    Parameters
    ----------
    folder : folder with ``manifest.json``

    Returns
    -------
    Manifest
        the application; options that the manifest leaves out have the defaults of ``spec``

    Raises
    ------
    InputError
        naming every field that is absent, unknown or out of range
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        let_pass(str(path), error)
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); a model is a folder with {MANIFEST_FILE} and weights"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); correct it") from error
    return parse_manifest(record, str(path))


def parse_manifest(record: Any, where: str) -> Manifest:
    """Check a manifest that has been read.

    Parameters
    ----------
    record : as parsed from JSON
    where : what errors call its place

    Returns
    -------
    Manifest
        see ``read_manifest``

    Raises
    ------
    InputError
        naming every field that is absent, unknown or out of range
    """
    errors = sorted(Draft202012Validator(load_schema("schema_manifest.json")).iter_errors(record), key=_where)
    faults = [f"  {_where(error)}: {error.message}" for error in errors] or _cross_faults(record)
    if faults:
        raise InputError(f"{where}: faults in the manifest; correct these fields:\n" + "\n".join(faults))
    archive = record.get("archive")
    return Manifest(
        name=record["name"],
        version=record["version"],
        licence=record["licence"],
        input_shape=tuple(record["input_shape"]),
        channels=tuple(record["channels"]),
        model_mpp=float(record["model_mpp"]),
        preprocessing=PreprocessingOptions(**record["preprocessing"]),
        compartments={name: _compartment(value) for name, value in record["compartments"].items()},
        weights={form: WeightsFile(**value) for form, value in record.get("weights", {}).items()},
        heads=tuple(record.get("heads", ())),
        archive=ArchiveSource(**archive) if archive else None,
        **{key: record[key] for key in ("tile_padding", "tile_stride", "description", "citation") if key in record},
    )


def hash_weights(path: Path) -> str:
    """SHA-256 of a weights file, or of a folder of them.

    A folder's hash runs over its files in the order of their relative paths: length and bytes of the path in UTF-8,
    then the SHA-256 of the content.

    Parameters
    ----------
    path : file or folder

    Returns
    -------
    str
        64 hexadecimal digits
    """
    path = Path(path)
    if path.is_file():
        return str(_hash_file(path).hexdigest())
    total = hashlib.sha256()
    for relative in sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()):
        name = relative.encode("utf-8")
        total.update(len(name).to_bytes(8, "big") + name + _hash_file(path / relative).digest())
    return total.hexdigest()


def verify_weights(folder: Path, manifest: Manifest, form: str) -> Path:
    """Prove that the weights beside a manifest are the ones it names.

    Parameters
    ----------
    folder : folder of the manifest
    manifest : as read from it
    form : ``onnx`` or ``saved_model``

    Returns
    -------
    Path
        the weights: a file, or a folder for ``saved_model``

    Raises
    ------
    InputError
        if the form is not there, or the hash differs
    """
    weights = manifest.weights.get(form)
    if weights is None:
        raise InputError(
            f"{folder}: model {manifest.name} has weights as {', '.join(sorted(manifest.weights)) or 'nothing'}, not "
            f"as {form}; choose another --engine, or convert the model with bin/prepare_model.py"
        )
    path = Path(folder) / weights.file
    if not path.exists():
        raise InputError(f"{path}: the weights that {MANIFEST_FILE} names are not there; fetch the model again")
    found = hash_weights(path)
    if found != weights.sha256:
        raise InputError(
            f"{path}: sha256 {found}, but {MANIFEST_FILE} names {weights.sha256}; the weights are damaged or were "
            "exchanged: fetch the model again, or correct the manifest if the change is yours"
        )
    return path


def _compartment(record: Mapping[str, Any]) -> CompartmentSpec:
    """One compartment of a checked manifest."""
    return CompartmentSpec(
        inner_distance=HeadChannel(**record["inner_distance"]),
        interior=HeadChannel(**record["interior"]),
        watershed=WatershedOptions(**record.get("watershed", {})),
    )


def _cross_faults(record: Mapping[str, Any]) -> list[str]:
    """Rules over several fields."""
    faults = []
    heads: list[int] = record.get("heads", [])
    for name, compartment in record["compartments"].items() if heads else ():
        for map_name in ("inner_distance", "interior"):
            head, channel = compartment[map_name]["head"], compartment[map_name].get("channel", 0)
            if isinstance(head, int) and not (-len(heads) <= head < len(heads) and channel < heads[head]):
                faults.append(
                    f"  compartments.{name}.{map_name}: head {head}, channel {channel} is none of heads {heads}"
                )
    channels, depth = record["channels"], record["input_shape"][2]
    if len(channels) != depth:
        faults.append(f"  channels: {len(channels)} names for an input of {depth} channels (input_shape)")
    for form, weights in record.get("weights", {}).items():
        place = PurePosixPath(weights["file"])
        if place.is_absolute() or ".." in place.parts or "\\" in weights["file"]:
            faults.append(f"  weights.{form}.file: {weights['file']!r} lies outside of the model folder")
    return faults


def _where(error: Any) -> str:
    """Dotted path of the field that an error is about."""
    return ".".join(str(part) for part in error.absolute_path) or "manifest"


def _hash_file(path: Path) -> Any:
    """SHA-256 object of a file's content."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(READ_BYTES):
            total.update(part)
    return total
