"""Blocks that partition an image, with the surroundings that each one reads."""

from collections.abc import Iterator
from dataclasses import dataclass

from cellbatch.spec import Window


@dataclass(frozen=True)
class BlockGrid:
    """Square cores that partition an image, in raster order; each owns its pixels.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image in px.
    core_px : int
        Side of a core; those at the lower and right border may be smaller.

    Raises
    ------
    ValueError
        If a length is less than 1 px.

    Examples
    --------
    >>> grid = BlockGrid((5, 7), 4)
    >>> [tuple(core) for core in grid.cores()]
    [(0, 4, 0, 4), (0, 4, 4, 7), (4, 5, 0, 4), (4, 5, 4, 7)]
    >>> tuple(grid.extend(Window(4, 5, 0, 4), 2))
    (2, 5, 0, 6)
    """

    shape: tuple[int, int]
    core_px: int

    def __post_init__(self) -> None:
        """Refuse lengths that no grid can have."""
        if min(self.shape) < 1 or self.core_px < 1:
            raise ValueError(f"blocks need at least 1 px, found image {self.shape} and core {self.core_px}")

    def cores(self) -> Iterator[Window]:
        """All cores."""
        return cover(self.shape, (self.core_px, self.core_px))

    def extend(self, window: Window, halo_px: int) -> Window:
        """Widen a window by `halo_px` on every side, as far as the image goes."""
        height, width = self.shape
        return Window(
            max(window.y0 - halo_px, 0),
            min(window.y1 + halo_px, height),
            max(window.x0 - halo_px, 0),
            min(window.x1 + halo_px, width),
        )


def cover(shape: tuple[int, int], block: tuple[int, int]) -> Iterator[Window]:
    """Windows of ``block`` rows and columns that partition an image, in raster order; the last ones may be smaller.

    Examples
    --------
    >>> [tuple(window) for window in cover((5, 7), (5, 4))]
    [(0, 5, 0, 4), (0, 5, 4, 7)]
    """
    height, width = shape
    for y in range(0, height, block[0]):
        for x in range(0, width, block[1]):
            yield Window(y, min(y + block[0], height), x, min(x + block[1], width))
