"""The global grid of model tiles over an image, as numbers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cellbatch.geometry.mirror import mirror_indices
from cellbatch.spec import Window

PADDINGS = ("constant", "reflect")
OUTSIDE = -1


@dataclass(frozen=True)
class TileAxis:
    """Tiles along one axis.

    Attributes
    ----------
    size, tile, stride : int
        Length of the image axis, of a tile, and the step between tiles, in px.
    count : int
        Number of tiles.
    before, after : int
        Padding of the image in px, so that the last tile ends with the padded image.
    """

    size: int
    tile: int
    stride: int
    count: int
    before: int
    after: int

    @classmethod
    def cover(cls, size: int, tile: int, stride_fraction: float) -> "TileAxis":
        """Tiles that cover `size` px; a short axis gets one tile, with the odd px of padding after it."""
        stride = min(2 * math.ceil(stride_fraction * tile / 2), tile)
        if size < tile:
            missing = tile - size
            return cls(size, tile, stride, 1, missing // 2, missing - missing // 2)
        count = max(math.ceil((size - tile) / stride + 1), 1)
        excess = tile + stride * (count - 1) - size
        return cls(size, tile, stride, count, excess - excess // 2, excess // 2)

    @property
    def is_short(self) -> bool:
        """Whether the image is smaller than one tile along this axis."""
        return self.size < self.tile

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring tiles share."""
        return self.tile - self.stride

    @property
    def padded_size(self) -> int:
        """Length of the padded axis."""
        return self.size + self.before + self.after

    def source_indices(self, start: int, stop: int, padding: str) -> NDArray[np.intp]:
        """Image index shown at each padded position; `OUTSIDE` stands for zero. A short axis always reflects."""
        if padding == "reflect" or self.is_short:
            return mirror_indices(start - self.before, stop - self.before, self.size)
        position = np.arange(start, stop, dtype=np.intp) - self.before
        return np.where((position >= 0) & (position < self.size), position, OUTSIDE)


@dataclass(frozen=True)
class TileGrid:
    """Overlapping model tiles over an image, in raster order.

    The image is padded by the grid's excess, so the grid is global and every overlap has the same width. An axis
    shorter than a tile is padded to one tile by reflection while the other axis is tiled as usual.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image in px.
    tile_shape : (int, int)
        Height and width of the model's input in px.
    stride_fraction : float
        Step between tiles as a fraction of the tile, in (0, 1]; the step is rounded up to even px.

    Raises
    ------
    ValueError
        If a length is less than 1 px or the fraction is outside (0, 1].

    References
    ----------
    Tiling of deepcell-toolbox 0.12.1, described in the method documentation of this project.

    Examples
    --------
    >>> grid = TileGrid((700, 300))
    >>> grid.counts, grid.padding
    ((4, 2), ((66, 66), (74, 74)))
    >>> grid.window(7)
    Window(y0=576, y1=832, x0=192, x1=448)
    """

    shape: tuple[int, int]
    tile_shape: tuple[int, int] = (256, 256)
    stride_fraction: float = 0.75

    def __post_init__(self) -> None:
        """Refuse lengths and fractions that no grid can have."""
        if min(self.shape) < 1 or min(self.tile_shape) < 1:
            raise ValueError(f"a grid needs at least 1 px per axis, found image {self.shape}, tile {self.tile_shape}")
        if not 0 < self.stride_fraction <= 1:
            raise ValueError(f"stride_fraction must lie in (0, 1], found {self.stride_fraction}")

    @cached_property
    def axes(self) -> tuple[TileAxis, TileAxis]:
        """The tiles along Y and along X."""
        height, width = self.shape
        return (
            TileAxis.cover(height, self.tile_shape[0], self.stride_fraction),
            TileAxis.cover(width, self.tile_shape[1], self.stride_fraction),
        )

    @property
    def counts(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return self.axes[0].count, self.axes[1].count

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding in px before and after, along Y and along X."""
        rows, columns = self.axes
        return (rows.before, rows.after), (columns.before, columns.after)

    @property
    def padded_shape(self) -> tuple[int, int]:
        """Height and width of the padded image."""
        return self.axes[0].padded_size, self.axes[1].padded_size

    def __len__(self) -> int:
        """Count the tiles."""
        return self.counts[0] * self.counts[1]

    def window(self, index: int) -> Window:
        """Tile number `index` in padded coordinates."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of a grid of {len(self)} tiles")
        rows, columns = self.axes
        row, column = divmod(index, columns.count)
        y0, x0 = row * rows.stride, column * columns.stride
        return Window(y0, y0 + rows.tile, x0, x0 + columns.tile)

    def windows(self) -> Iterator[Window]:
        """All tiles in raster order, in padded coordinates."""
        return (self.window(index) for index in range(len(self)))

    def owned_rows(self, first: int, last: int) -> tuple[int, int]:
        """Rows of the image that the rows of tiles ``first … last`` (half-open) finish: those partition the image.

        Examples
        --------
        >>> [TileGrid((700, 300)).owned_rows(row, row + 1) for row in range(4)]
        [(0, 126), (126, 318), (318, 510), (510, 700)]
        """
        return self._first_owned(first), self._first_owned(last)

    def _first_owned(self, row: int) -> int:
        """First image row that the row of tiles `row` finishes; the image's height behind the last."""
        rows = self.axes[0]
        if row in (0, rows.count):
            return 0 if row == 0 else rows.size
        return min(max(row * rows.stride - rows.before, 0), rows.size)

    def touching_rows(self, first: int, last: int) -> tuple[int, int]:
        """Rows of tiles (half-open) that show pixels of the image rows which ``first … last`` own."""
        rows = self.axes[0]
        return max(first - -(-rows.overlap // rows.stride), 0), last

    def source_indices(self, index: int, padding: str = "constant") -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Image row and column that each row and column of a tile shows.

        Parameters
        ----------
        index : int
            Tile number in raster order.
        padding : {"constant", "reflect"}
            What the grid's excess shows: zeros or the mirrored image. A short axis is mirrored either way.

        Returns
        -------
        rows, columns : ndarray of intp
            As long as the tile; `OUTSIDE` (-1) where the tile shows zeros.

        Raises
        ------
        ValueError
            If `padding` is another word.
        """
        if padding not in PADDINGS:
            raise ValueError(f"tile padding must be one of {', '.join(PADDINGS)}, found {padding!r}")
        window = self.window(index)
        rows, columns = self.axes
        return (
            rows.source_indices(window.y0, window.y1, padding),
            columns.source_indices(window.x0, window.x1, padding),
        )
