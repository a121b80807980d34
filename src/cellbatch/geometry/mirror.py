"""Index of the pixel that a mirrored axis shows at any position."""

import numpy as np
from numpy.typing import NDArray


def mirror_indices(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Source index of the positions ``start … stop`` of an axis that goes on by reflection at both ends.

    The edge pixel is not repeated and the reflection is periodic, so positions may lie any distance outside; an
    axis of one pixel shows that pixel everywhere.

    Parameters
    ----------
    start, stop : int
        Half-open range of positions in px; may be negative or beyond the axis.
    size : int
        Length of the axis in px, at least 1.

    Returns
    -------
    ndarray of intp, shape (stop - start,)
        Values 0 … size - 1.

    Raises
    ------
    ValueError
        If `size` is less than 1.

    Examples
    --------
    >>> mirror_indices(-3, 6, 3).tolist()
    [1, 2, 1, 0, 1, 2, 1, 0, 1]
    """
    if size < 1:
        raise ValueError(f"an axis of {size} px has nothing to reflect")
    position = np.arange(start, stop)
    if size == 1:
        return np.zeros_like(position, dtype=np.intp)
    period = 2 * (size - 1)
    folded = position % period
    return np.minimum(folded, period - folded).astype(np.intp, copy=False)
