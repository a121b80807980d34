"""A model that the command line names, made ready to run as PREPARE_MODEL does it."""

from __future__ import annotations

from pathlib import Path

from cellbatch.inference.engine import WEIGHTS_FORM
from cellbatch.io.model_sources import MANIFEST_SUFFIX, describe_source, weights_stem
from cellbatch.io.models import MANIFEST_FILE
from cellbatch.phases.model_shelves import EXAMPLE_IMAGE, find_model
from cellbatch.phases.prepare_model import PreparationOptions, name_prepared, prepare_model, write_manifest_line


def ready_model(model: str | Path, engine: str, scratch: Path, cache: Path | None = None) -> Path:
    """Give the folder of a prepared model: the model itself where it is one, else what is made of it.

    Parameters
    ----------
    model : name or path, in any form that ``--model`` takes
    engine : runtime of the network
    scratch : existing folder, gets what is prepared where there is no cache
    cache : keeps prepared models, in the places where the pipeline's ``--model_cache`` looks for them

    Raises
    ------
    ConfigError, InputError, EngineError
        As ``prepare_model``; also if there is no such model.
    """
    path = find_model(model)
    source = describe_source(path, _manifests_beside(path))
    if source.form == "folder":
        return path
    place = (cache or scratch) / name_prepared(source, engine)
    target = place / "model"
    if not (target / MANIFEST_FILE).is_file():
        place.mkdir(parents=True, exist_ok=True)
        tiles = EXAMPLE_IMAGE if EXAMPLE_IMAGE.is_file() and WEIGHTS_FORM[engine] == "onnx" else None
        prepare_model(source, target, PreparationOptions(engine, tiles))
        write_manifest_line(target, place / MANIFEST_FILE)
    return target


def _manifests_beside(path: Path) -> list[Path]:
    """Manifests that lie beside weights, the one with their name first."""
    names = (weights_stem(path.name) + MANIFEST_SUFFIX, MANIFEST_FILE)
    return [path.with_name(name) for name in names if path.with_name(name).is_file()]
