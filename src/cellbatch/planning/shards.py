"""Cutting the inference of a large image into tasks that run at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from cellbatch.geometry.tiles import TileGrid

# 67 megapixels are some minutes of inference: long beside the start of a task, short beside its repetition
AUTO_SHARD_PIXELS = 2**26


@dataclass(frozen=True)
class Shard:
    """Which part of a batch one task infers.

    The images of a batch are cut into as many pieces of whole rows of tiles as their size asks for; task ``index``
    (from 0) gets the piece of that number of each image. Together the tasks give what one alone would, to the last bit.

    Attributes
    ----------
    index : number of the task
    pixels : px at ``model_mpp`` of a piece at most, but for rounding to rows of tiles; 0 = images are not cut
    """

    index: int = 0
    pixels: int = 0

    def rows(self, grid: TileGrid) -> tuple[int, int] | None:
        """Rows of tiles (half-open) of an image that this task infers; ``None`` if it has none of them.

        Examples
        --------
        >>> grid = TileGrid((2000, 1000))
        >>> grid.counts, [Shard(index, 600_000).rows(grid) for index in range(5)]
        ((11, 5), [(0, 2), (2, 5), (5, 8), (8, 11), None])
        """
        pieces = count_pieces(grid.shape[0] * grid.shape[1], self.pixels)
        ends = [grid.counts[0] * index // pieces for index in (self.index, self.index + 1)]
        return (ends[0], ends[1]) if self.index < pieces and ends[0] < ends[1] else None


def count_shards(model_pixels: Iterable[int], shard_pixels: int) -> int:
    """Tasks of inference that a batch of images of these sizes (px at ``model_mpp``) is cut into, at least one."""
    return max((count_pieces(pixels, shard_pixels) for pixels in model_pixels), default=1)


def count_pieces(pixels: int, shard_pixels: int) -> int:
    """Pieces into which an image of this many px is cut."""
    return max(-(-pixels // shard_pixels), 1) if shard_pixels else 1
