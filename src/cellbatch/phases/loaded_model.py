"""A network in memory, with what its manifest says: from a preprocessed image to its heads."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellbatch.errors import ConfigError, InputError
from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import FinishedPart
from cellbatch.inference.engine import TILE_BATCH, WEIGHTS_FORM, Engine, EngineOptions, OutOfDeviceMemory, load_engine
from cellbatch.inference.gpu_meter import open_gpu_meter
from cellbatch.inference.tile_rows import Panel, TilePredictor, blend_rows, cut_panels, read_band
from cellbatch.inference.tile_window import blend_window
from cellbatch.io.models import read_manifest, verify_weights
from cellbatch.io.prefetch import read_ahead
from cellbatch.reporting.timings import Timings
from cellbatch.spec import HeadChannel, Manifest, Window

logger = logging.getLogger(__name__)

HEAD_NAMES = ("inner_distance", "interior")


@dataclass(frozen=True)
class InferenceOptions:
    """Which runtime runs the network, and how.

    ``tile_batch`` is the number of tiles per model call (``None`` chooses by device), ``deepcell_python`` starts the
    engine ``deepcell``; the others are those of ``EngineOptions``.
    """

    engine: str = "onnxruntime"
    device: str = "auto"
    tile_batch: int | None = None
    threads: int = 1
    precision: str = "float32"
    tensorrt_cache: str = ""
    deepcell_python: str = ""


class _Seconds(threading.local):
    """Seconds that a thread has spent, of its own."""

    network = 0.0
    waited = 0.0


class LoadedModel:
    """A network in memory, with what its manifest says; threads may share it, of which one at a time is inside.

    Parameters
    ----------
    model : folder of the prepared model
    options : runtime and device

    Attributes
    ----------
    seconds : that the calling thread has spent so far: ``network``, the warm-up apart, and ``waited`` for its turn
    gpu : says how busy the GPU is; None on a CPU, and where nobody can be asked
    """

    def __init__(self, model: Path, options: InferenceOptions) -> None:
        self.manifest = read_manifest(model)
        form = WEIGHTS_FORM.get(options.engine)
        if form is None:
            raise ConfigError(f"unknown engine {options.engine!r}; known: {', '.join(WEIGHTS_FORM)}")
        if form not in self.manifest.weights:
            raise ConfigError(
                f"--engine {options.engine} needs weights as {form}, but the model {self.manifest.name!r} has only "
                f"{', '.join(self.manifest.weights) or 'none'}; choose the engine that fits, or prepare the model with "
                "bin/prepare_model.py"
            )
        weights = str(model / self.manifest.weights[form].file)
        settings = EngineOptions(options.device, options.threads, options.precision, options.tensorrt_cache)
        with ThreadPoolExecutor(1) as pool:
            verified = pool.submit(verify_weights, model, self.manifest, form)
            try:
                self.engine: Engine = load_engine(options.engine, weights, settings)
            finally:  # damaged weights are told before what the runtime says of them
                verified.result()
        self.gpu = open_gpu_meter(self.engine.device)
        self.tile_batch = options.tile_batch or TILE_BATCH[self.engine.device]
        # what the device has room for at once, found out when it has not
        self._room_tiles = self.tile_batch
        self.seconds = _Seconds()
        self._turn = threading.Lock()
        self._predictors: dict[str, TilePredictor] = {}

    def warm_up(self) -> None:
        """Run the network once on zeros and check that its heads are those that the manifest names.

        Raises
        ------
        InputError
            If a head is missing or has another shape.
        """
        tile = np.zeros((self.tile_batch, *self.manifest.input_shape), np.float32)
        heads = self._predict(tile)
        self.seconds.network = 0.0
        found = {name: heads[name].shape for name in self.engine.outputs}
        channels = [shape[-1] for shape in found.values()]
        if self.manifest.heads and list(self.manifest.heads) != channels:
            raise InputError(
                f"model {self.manifest.name!r}: the network gives {found}, but heads of {list(self.manifest.heads)} "
                "channels were expected; it is another network: give it a manifest of its own"
            )
        for compartment in self.manifest.compartments.values():
            for wanted in (compartment.inner_distance, compartment.interior):
                shape = found[self._output(wanted)]
                if shape[:3] != tile.shape[:3] or len(shape) != 4 or shape[3] <= wanted.channel:
                    raise InputError(
                        f"model {self.manifest.name!r}: the head {wanted.head!r} has shape {shape[1:]}, but "
                        f"{tile.shape[1:3]} with a channel {wanted.channel} was expected; correct the manifest"
                    )

    def _output(self, wanted: HeadChannel) -> str:
        """Name of the output that a manifest means."""
        outputs = self.engine.outputs
        if isinstance(wanted.head, int) and -len(outputs) <= wanted.head < len(outputs):
            return outputs[wanted.head]
        if wanted.head in outputs:
            return str(wanted.head)
        raise InputError(
            f"model {self.manifest.name!r}: the manifest takes a map from the head {wanted.head!r}, but the network "
            f"gives {', '.join(outputs)}; correct the manifest's compartments"
        )

    def infer(self, pixels: np.ndarray, compartment: str = "both") -> dict[str, dict[str, np.ndarray]]:
        """Heads of one preprocessed image.

        Parameters
        ----------
        pixels : float32 (Y, X, C) at ``model_mpp``

        Returns
        -------
        dict of compartment to dict of ``inner_distance`` and ``interior``, float32 (Y, X) each
        """
        shape = (pixels.shape[0], pixels.shape[1])
        names = self.head_names(compartment)
        maps = [np.empty(shape, np.float32) for _ in names]
        for part in self.infer_rows(lambda window: pixels[window.slices], shape, compartment):
            for index, values in enumerate(maps):
                values[part.window.slices] = part.pixels[..., index]
        heads: dict[str, dict[str, np.ndarray]] = {name: {} for name, _ in names}
        for (name, head), values in zip(names, maps, strict=True):
            heads[name][head] = values
        return heads

    def head_names(self, compartment: str) -> list[tuple[str, str]]:
        """Compartment and head of each map, in the order of ``infer_rows``."""
        return [(name, head) for name in self.manifest.selected(compartment) for head in HEAD_NAMES]

    def infer_rows(
        self,
        read: Callable[[Window], np.ndarray],
        shape: tuple[int, int],
        compartment: str = "both",
        owned: tuple[int, int] | None = None,
    ) -> Iterator[FinishedPart]:
        """Heads of some rows of an image, a row of tiles after the other; what comes next is read meanwhile.

        Parameters
        ----------
        read : gives float32 pixels (y, x, C) of a rectangle; called by another thread
        shape : (Y, X) of the image at ``model_mpp``
        compartment : ``both``, ``whole-cell`` or ``nuclear``
        owned : rows of tiles (half-open) whose image rows are wanted; all by default

        Yields
        ------
        FinishedPart
            with a channel for each of ``head_names``; the same to the last bit, whatever rows are wanted
        """
        grid = make_grid(shape, self.manifest)
        owned = owned or (0, grid.counts[0])
        padding = self.manifest.tile_padding

        def read_panel(panel: Panel) -> tuple[Panel, np.ndarray]:
            return panel, read_band(grid, panel[0], padding, read, panel[1])

        panels = cut_panels(grid, range(*grid.touching_rows(*owned)), self.tile_batch)
        bands: Iterable[tuple[Panel, np.ndarray]] = map(read_panel, panels)
        if len(panels) > 1:
            bands = read_ahead(panels, read_panel, 1)
        yield from blend_rows(bands, self._predictor(compartment), grid, owned)

    def infer_window(
        self,
        read: Callable[[Window], np.ndarray],
        shape: tuple[int, int],
        window: Window,
        compartment: str = "both",
    ) -> np.ndarray:
        """Heads of a rectangle of an image, with the tiles of the whole image.

        Parameters
        ----------
        read, shape, compartment : as in ``infer_rows``
        window : the rectangle

        Returns
        -------
        float32 (y, x, K)
            with a channel for each of ``head_names``; equal to those of the whole image to the last bit
        """
        grid = make_grid(shape, self.manifest)
        return blend_window(window, read, self._predictor(compartment), grid, self.manifest.tile_padding)

    def _predictor(self, compartment: str) -> TilePredictor:
        """Give the heads of a compartment, in the order of ``head_names``; constant tiles are remembered."""
        if compartment not in self._predictors:
            selected = self.manifest.selected(compartment)
            channels = [getattr(selected[name], head) for name, head in self.head_names(compartment)]
            wanted = [(self._output(one), one.channel) for one in channels]

            def predict(tiles: np.ndarray) -> np.ndarray:
                clock = Timings.clock()
                with self._turn:
                    self.seconds.waited += clock()
                    answer = self._predict(tiles)
                    return np.stack([answer[name][..., channel] for name, channel in wanted], axis=-1)

            self._predictors[compartment] = TilePredictor(predict, self.tile_batch)
        return self._predictors[compartment]

    def _predict(self, tiles: np.ndarray) -> Mapping[str, np.ndarray]:
        """Run the network, in parts where the device has no room for all tiles, and add up its time."""
        clock = Timings.clock()
        parts: list[Mapping[str, np.ndarray]] = []
        done = 0
        while done < len(tiles):
            try:
                parts.append(self.engine.predict(tiles[done : done + self._room_tiles]))
                done += self._room_tiles
            except OutOfDeviceMemory as error:
                if self._room_tiles == 1:
                    raise
                self._room_tiles = -(-self._room_tiles // 2)
                logger.warning("%s; going on with %d tiles per call", error, self._room_tiles)
        self.seconds.network += clock()
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def make_grid(shape: tuple[int, int], manifest: Manifest) -> TileGrid:
    """Lay out the tile grid of an image of this shape for this network."""
    return TileGrid(shape, manifest.input_shape[:2], manifest.tile_stride)


def check_compartment(manifest: Manifest, compartment: str) -> None:
    """Refuse a choice that the model cannot serve.

    Raises
    ------
    ConfigError
        If the model has no such compartment.
    """
    if not manifest.selected(compartment):
        raise ConfigError(
            f"--compartment {compartment}: the model {manifest.name!r} knows {', '.join(manifest.compartments)} only"
        )
