"""A network in memory, with what its manifest says: from a preprocessed image to its heads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cellbatch.errors import ConfigError, InputError
from cellbatch.geometry.tiles import TileGrid
from cellbatch.inference.blending import blend_tiles, extract_tile
from cellbatch.inference.engine import TILE_BATCH, WEIGHTS_FORM, Engine, load_engine, predict_tiles
from cellbatch.io.models import read_manifest, verify_weights
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Manifest

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
        selected = self.manifest.selected(compartment)
        grid = make_grid(pixels.shape[:2], self.manifest)
        tiles = _Tiles(pixels, grid, self.manifest.tile_padding)
        wanted = [(name, head, getattr(spec, head)) for name, spec in selected.items() for head in HEAD_NAMES]
        names = sorted({channel.head for *_, channel in wanted})
        answers = predict_tiles(self._predict, tiles, self.tile_batch, names)
        stacked = (
            np.stack([answer[channel.head][..., channel.channel] for *_, channel in wanted], axis=-1)
            for answer in answers
        )
        blended = blend_tiles(stacked, grid)
        heads: dict[str, dict[str, np.ndarray]] = {name: {} for name in selected}
        for index, (name, head, _) in enumerate(wanted):
            heads[name][head] = np.ascontiguousarray(blended[..., index])
        return heads

    def _predict(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Run the network and add up its time."""
        clock = Timings.clock()
        heads = self.engine.predict(tiles)
        self.network_s += clock()
        return heads


class _Tiles:
    """The tiles of an image in raster order, cut when asked for."""

    def __init__(self, pixels: np.ndarray, grid: TileGrid, padding: str) -> None:
        self._pixels, self._grid, self._padding = pixels, grid, padding

    def __len__(self) -> int:
        return len(self._grid)

    def __getitem__(self, index: int) -> np.ndarray:
        return extract_tile(self._pixels, self._grid, index, self._padding)


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
