"""PREPARE_MODEL: a model as the user names it becomes one checked folder: manifest.json and weights."""

import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cellbatch.errors import ConfigError, InputError
from cellbatch.inference.blending import extract_tiles
from cellbatch.inference.conversion import CONVERSION, OPSET, TensorflowNetwork, compare_heads, converter_version
from cellbatch.inference.engine import DEEPCELL, WEIGHTS_FORM
from cellbatch.io.atomic import atomic_path, write_text
from cellbatch.io.images import open_image
from cellbatch.io.model_archives import hash_md5, unpack_archive
from cellbatch.io.model_fetch import SITE, TOKEN, fetch_archive
from cellbatch.io.model_sources import SAVED_MODEL_FILE, ModelSource, source_key
from cellbatch.io.models import MANIFEST_FILE, hash_weights, read_manifest, verify_weights
from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel, make_grid
from cellbatch.preprocessing import preprocess
from cellbatch.spec import Manifest

logger = logging.getLogger(__name__)

WEIGHTS_FILE = {"onnx": "model.onnx", "saved_model": "saved_model"}
LARGEST_DIFFERENCE = 1e-4
COMPARED_TILES = 4


@dataclass(frozen=True)
class PreparationOptions:
    """How a model is prepared.

    ``engine`` decides the form of the weights, ``tiles`` is the image whose tiles original and converted network are
    compared on, ``site`` where weights are fetched.
    """

    engine: str = "onnxruntime"
    tiles: Path | None = None
    site: str = SITE


DEFAULTS = PreparationOptions()


def prepare_model(source: ModelSource, output: Path, options: PreparationOptions = DEFAULTS) -> Manifest:
    """Fetch, unpack and convert a model where it needs that, check it, and put it where the tasks find it.

    The manifest is validated, the weights' sha256 compared or entered, a conversion compared with its original on real
    tiles, and the network loaded and run once on the CPU, so that a model that does not fit its manifest stops the run
    before any image is touched.

    Parameters
    ----------
    source : the model as the user named it
    output : folder to make
    options : engine, tiles, site

    Raises
    ------
    ConfigError
        If what the conversion or the fetch needs is not there.
    InputError
        If the manifest or the weights are wrong, or do not fit each other.
    """
    form = WEIGHTS_FORM[options.engine]
    with TemporaryDirectory(dir=output.parent, prefix=".prepare.") as scratch, atomic_path(output) as temporary:
        temporary.mkdir()
        if source.form == "folder":
            _copy_prepared(source, temporary, form)
        else:
            _make_prepared(source, temporary, Path(scratch), options)
        # DeepCell's own Python loads its network itself, in the tasks: nothing of it need be here
        if options.engine != DEEPCELL:
            LoadedModel(temporary, InferenceOptions(options.engine, "cpu", tile_batch=1)).warm_up()
        manifest = read_manifest(temporary)
    logger.info("model %s %s is ready for %s", manifest.name, manifest.version, options.engine)
    return manifest


def name_prepared(source: ModelSource, engine: str) -> str:
    """Name under which a prepared model is kept: of its source, of the conversion, and of the form of weights.

    The converter's own version stays out: who names a model need not have the converter.
    """
    return source_key(source, f"{WEIGHTS_FORM[engine]}, conversion {CONVERSION}, opset {OPSET}")


def write_manifest_line(model: Path, output: Path) -> None:
    """Write a prepared model's manifest as one line, the form in which it travels to phases that need no weights."""
    record = json.loads((model / MANIFEST_FILE).read_text(encoding="utf-8"))
    write_text(output, json.dumps(record, sort_keys=True) + "\n")


def _copy_prepared(source: ModelSource, target: Path, form: str) -> None:
    """Copy manifest and one form of the weights, and compare the copy's hash."""
    manifest = source.manifest
    if form not in manifest.weights:
        raise ConfigError(
            f"this engine needs weights as {form}, but the model {manifest.name!r} has only "
            f"{', '.join(manifest.weights)}; choose the --engine that fits, or give the model as SavedModel"
        )
    shutil.copyfile(source.path / MANIFEST_FILE, target / MANIFEST_FILE)
    _copy(source.path / manifest.weights[form].file, target / manifest.weights[form].file)
    verify_weights(target, manifest, form)


def _make_prepared(source: ModelSource, target: Path, scratch: Path, options: PreparationOptions) -> None:
    """Bring weights that have no finished manifest into the form that the engine needs, and enter their hash."""
    form = WEIGHTS_FORM[options.engine]
    weights, is_known = _reach_weights(source, scratch, options)
    record = dict(source.record)
    is_converted = form == "onnx" and source.form != "onnx"
    if source.form == "onnx" and form != "onnx":
        raise ConfigError(f"{weights.name}: --engine {options.engine} needs a SavedModel; choose --engine onnxruntime")
    if is_converted:
        network = TensorflowNetwork(weights)
        _take_shape(record, network.input_shape, weights, is_known)
        network.export_onnx(target / WEIGHTS_FILE[form])
    elif weights.is_file() and form == "saved_model":
        raise ConfigError(f"{weights.name}: --engine {options.engine} needs a SavedModel, not a Keras file")
    else:
        _copy(weights, target / WEIGHTS_FILE[form])
    file = target / WEIGHTS_FILE[form]
    record["weights"] = {form: {"file": file.name, "sha256": hash_weights(file)}}
    write_text(target / MANIFEST_FILE, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    if is_converted:
        _compare(network, target, options.tiles)


def _reach_weights(source: ModelSource, scratch: Path, options: PreparationOptions) -> tuple[Path, bool]:
    """Path of the weights, fetched and unpacked where they need it, and whether they are the archive that was meant."""
    archive = source.manifest.archive
    path = source.path
    if source.form == "fetch" and archive is not None:
        logger.info("fetching %s", archive.name)
        path = fetch_archive(archive, os.environ.get(TOKEN, ""), scratch / "archive.tar.gz", site=options.site)
    elif source.form != "archive":
        return path, False
    elif archive is not None and hash_md5(path) != archive.md5:
        logger.warning(
            "%s is not the archive that %s names (md5); its network is checked all the same", path.name, source.where
        )
    unpack_archive(path, scratch / "unpacked")
    found = sorted(file.parent for file in (scratch / "unpacked").rglob(SAVED_MODEL_FILE))
    if len(found) != 1:
        raise InputError(
            f"{path.name}: one SavedModel was expected inside, found {len(found)}; give its folder as --model"
        )
    return found[0], archive is not None


def _take_shape(record: dict[str, object], shape: tuple[int | None, ...], weights: Path, is_known: bool) -> None:
    """Hold the manifest's input against the network's; the tile size of a known archive is the network's own."""
    wanted = list(record["input_shape"])  # type: ignore[call-overload]
    fits = [own in (None, size) for own, size in zip(shape, wanted, strict=True)]
    if all(fits):
        return
    if not is_known or not fits[2]:
        raise InputError(
            f"{weights.name}: the network takes tiles of {shape}, but the manifest has input_shape {wanted}; correct it"
        )
    record["input_shape"] = [own or size for own, size in zip(shape, wanted, strict=True)]
    logger.info("tiles of %s, as the network wants them", record["input_shape"])


def _compare(network: TensorflowNetwork, folder: Path, image: Path | None) -> None:
    """Run original and converted network on the same tiles, refuse a difference, and note it beside the weights."""
    converted = LoadedModel(folder, InferenceOptions("onnxruntime", "cpu", tile_batch=1))
    worst: dict[str, float] = {}
    for tile in _draw_tiles(converted.manifest, image):
        found = compare_heads(network.predict(tile[None]), converted.engine.predict(tile[None]))
        worst = {name: max(value, worst.get(name, 0.0)) for name, value in found.items()}
    logger.info("largest difference of the converted heads: %s", ", ".join(f"{n} {v:.1e}" for n, v in worst.items()))
    if not max(worst.values()) <= LARGEST_DIFFERENCE:
        raise InputError(
            f"the converted network differs from the original by {max(worst.values()):.1e}, more than "
            f"{LARGEST_DIFFERENCE:.0e}; run the original with --engine tensorflow"
        )
    note = {"converter": converter_version(), "tiles": COMPARED_TILES, "largest_difference": worst}
    write_text(folder / "conversion.json", json.dumps(note, indent=2) + "\n")


def _draw_tiles(manifest: Manifest, image: Path | None) -> list[np.ndarray]:
    """Tiles of an image as the network would see them; without an image, of smooth noise."""
    channels = len(manifest.channels)
    if image is None:
        pixels = np.random.default_rng(0).gamma(2.0, 100.0, (512, 512, channels)).astype(np.float32)
    else:
        with open_image(image) as reader:
            planes = [reader.read(min(index, reader.header.shape[0] - 1)) for index in range(channels)]
        pixels = np.stack(planes, axis=-1).astype(np.float32)
    options = manifest.preprocessing
    ready = preprocess(pixels, percentile=options.percentile, clahe_kernel_size=options.clahe_kernel_size)
    grid = make_grid(ready.shape[:2], manifest)
    every = max(len(grid) // COMPARED_TILES, 1)
    return list(extract_tiles(ready, grid, manifest.tile_padding))[::every][:COMPARED_TILES]


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
