"""A network in memory, with what its manifest says: from a preprocessed image to its heads."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellbatch.errors import ConfigError, InputError
from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import FinishedRows
from cellbatch.inference.engine import TILE_BATCH, WEIGHTS_FORM, Engine, load_engine
from cellbatch.inference.tile_rows import TilePredictor, blend_rows, read_band
from cellbatch.io.models import read_manifest, verify_weights
from cellbatch.io.prefetch import read_ahead
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Manifest, Window

HEAD_NAMES = ("inner_distance", "interior")


@dataclass(frozen=True)
class InferenceOptions:
    """Which runtime runs the network, and how.

    ``tile_batch`` is the number of tiles per model call (``None`` chooses by device), ``threads`` the number of CPU
    threads inside one operation.
    """

    engine: str = "onnxruntime"
    device: str = "auto"
    tile_batch: int | None = None
    threads: int = 1


class LoadedModel:
    """A network in memory, with what its manifest says.

    Parameters
    ----------
    model : folder of the prepared model
    options : runtime and device

    Attributes
    ----------
    network_s : seconds spent inside the network so far, the warm-up apart
    """

    def __init__(self, model: Path, options: InferenceOptions) -> None:
        self.manifest = read_manifest(model)
        form = WEIGHTS_FORM.get(options.engine)
        if form is None:
            raise ConfigError(f"unknown engine {options.engine!r}; known: {', '.join(WEIGHTS_FORM)}")
        if form not in self.manifest.weights:
            raise ConfigError(
                f"--engine {options.engine} needs weights as {form}, but the model {self.manifest.name!r} has only "
                f"{', '.join(self.manifest.weights)}; choose the engine that fits, or add that form to the model"
            )
        verify_weights(model, self.manifest, form)
        weights = str(model / self.manifest.weights[form].file)
        self.engine: Engine = load_engine(options.engine, weights, device=options.device, threads=options.threads)
        self.tile_batch = options.tile_batch or TILE_BATCH[self.engine.device]
        self.network_s = 0.0
        self._predictors: dict[str, TilePredictor] = {}

    def warm_up(self) -> None:
        """Run the network once on zeros and check that its heads are those that the manifest names.

        Raises
        ------
        InputError
            If a head is missing or has another shape.
        """
        tile = np.zeros((self.tile_batch, *self.manifest.input_shape), np.float32)
        heads = self.engine.predict(tile)
        for name, compartment in self.manifest.compartments.items():
            for wanted in (compartment.inner_distance, compartment.interior):
                head = heads.get(wanted.head)
                if head is None:
                    raise InputError(
                        f"model {self.manifest.name!r}: the manifest takes {name} from the head {wanted.head!r}, but "
                        f"the network gives {', '.join(sorted(heads))}; correct the manifest's compartments"
                    )
                if head.shape[:3] != tile.shape[:3] or head.shape[3] <= wanted.channel:
                    raise InputError(
                        f"model {self.manifest.name!r}: the head {wanted.head!r} has shape {head.shape[1:]}, but "
                        f"{tile.shape[1:3]} with a channel {wanted.channel} was expected"
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
        for rows in self.infer_rows(lambda window: pixels[window.slices], shape, compartment):
            for index, values in enumerate(maps):
                values[rows.y0 : rows.y1] = rows.pixels[..., index]
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
    ) -> Iterator[FinishedRows]:
        """Heads of some rows of an image, a row of tiles after the other; the next row is read meanwhile.

        Parameters
        ----------
        read : gives float32 pixels (y, x, C) of a rectangle; called by another thread
        shape : (Y, X) of the image at ``model_mpp``
        compartment : ``both``, ``whole-cell`` or ``nuclear``
        owned : rows of tiles (half-open) whose image rows are wanted; all by default

        Yields
        ------
        FinishedRows
            with a channel for each of ``head_names``; the same to the last bit, whatever rows are wanted
        """
        grid = make_grid(shape, self.manifest)
        owned = owned or (0, grid.counts[0])
        selected = self.manifest.selected(compartment)
        wanted = [getattr(selected[name], head) for name, head in self.head_names(compartment)]

        def predict(tiles: np.ndarray) -> np.ndarray:
            answer = self._predict(tiles)
            return np.stack([answer[one.head][..., one.channel] for one in wanted], axis=-1)

        padding = self.manifest.tile_padding
        rows = range(*grid.touching_rows(*owned))
        bands: Iterable[np.ndarray] = (read_band(grid, row, padding, read) for row in rows)
        if len(rows) > 1:
            bands = read_ahead(rows, lambda row: read_band(grid, row, padding, read), 1)
        predictor = self._predictors.setdefault(compartment, TilePredictor(predict, self.tile_batch))
        yield from blend_rows(bands, predictor, grid, owned)

    def _predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network and add up its time."""
        clock = Timings.clock()
        heads = self.engine.predict(tiles)
        self.network_s += clock()
        return heads


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
