"""PREPARE_MODEL: a model as the user names it becomes one checked folder: manifest.json and weights."""

import json
import logging
import shutil
from pathlib import Path

from cellbatch.errors import ConfigError
from cellbatch.inference.engine import WEIGHTS_FORM
from cellbatch.io.atomic import write_text
from cellbatch.io.models import MANIFEST_FILE, read_manifest, verify_weights
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.spec import Manifest

logger = logging.getLogger(__name__)

# in a checkout the models stand beside src, in an installed package inside it
_PACKAGE = Path(__file__).resolve().parents[1]
MODEL_SHELVES = (_PACKAGE.parents[1] / "assets" / "models", _PACKAGE / "assets" / "models")


def find_model(model: str | Path) -> Path:
    """Folder of a model given as a path or as the name of one that ships with the project.

    Raises
    ------
    ConfigError
        If there is neither.
    """
    candidates = [*(shelf / str(model) for shelf in MODEL_SHELVES), Path(model)]
    for folder in candidates:
        if (folder / MANIFEST_FILE).is_file():
            return folder
    shipped = sorted({path.parent.name for shelf in MODEL_SHELVES for path in shelf.glob(f"*/{MANIFEST_FILE}")})
    raise ConfigError(
        f"no model {str(model)!r}: expected a folder with a {MANIFEST_FILE}, or one of {', '.join(shipped)}"
    )


def prepare_model(source: Path, output: Path, *, engine: str = "onnxruntime") -> Manifest:
    """Check a model and put it where the tasks find it.

    The manifest is validated, the weights' sha256 compared, and the network loaded and run once on the CPU, so that a
    model that does not fit its manifest stops the run before any image is touched.

    Parameters
    ----------
    source : model folder
    output : folder to make
    engine : the engine that will run it, whose form of the weights must be there

    Raises
    ------
    ConfigError
        If ``source`` is no model folder, or lacks the weights that the engine needs.
    InputError
        If the manifest or the weights are wrong.
    """
    folder = find_model(source)
    manifest = read_manifest(folder)
    loaded = LoadedModel(folder, InferenceOptions(engine, "cpu", tile_batch=1))
    loaded.warm_up()
    temporary = output.with_name(output.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shutil.copyfile(folder / MANIFEST_FILE, temporary / MANIFEST_FILE)
    _copy_weights(folder, temporary, manifest, WEIGHTS_FORM[engine])
    temporary.rename(output)
    logger.info("model %s %s is ready for %s", manifest.name, manifest.version, engine)
    return manifest


def write_manifest_line(model: Path, output: Path) -> None:
    """Write a prepared model's manifest as one line, the form in which it travels to phases that need no weights."""
    record = json.loads((model / MANIFEST_FILE).read_text(encoding="utf-8"))
    write_text(output, json.dumps(record, sort_keys=True) + "\n")


def _copy_weights(folder: Path, target: Path, manifest: Manifest, form: str) -> None:
    """Copy one form of the weights and compare the copy's hash."""
    file = manifest.weights[form].file
    if (folder / file).is_dir():
        shutil.copytree(folder / file, target / file)
    else:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / file, target / file)
    verify_weights(target, manifest, form)
