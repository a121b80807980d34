"""A picture of a few cells: bright discs with a ring of membrane around each."""

import numpy as np


def draw_cells(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Draw nuclear and membrane channel, (2, Y, X) uint16, the same for the same seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = rng.integers(0, 100, (2, *shape))
    for _ in range(12):
        distance = np.hypot(y - rng.uniform(0, shape[0]), x - rng.uniform(0, shape[1]))
        image[0][distance < 8] += 2000
        image[1][(distance > 9) & (distance < 12)] += 1500
    return image.astype(np.uint16)
