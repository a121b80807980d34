"""Size of an image at the pixel size of a model."""

import math


def model_shape(shape: tuple[int, int], image_mpp: float, model_mpp: float) -> tuple[int, int]:
    """Height and width at `model_mpp` of an image taken at `image_mpp`.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in px.
    image_mpp, model_mpp : float
        Pixel sizes in µm per px. Any difference counts, 0.499 is not 0.5.

    Returns
    -------
    (int, int)
        ``int(n * (image_mpp / model_mpp))`` per axis: the quotient first, in double, then truncated.

    Raises
    ------
    ValueError
        If a pixel size is not a positive number, or an axis would vanish.

    References
    ----------
    DeepCell 0.12.10, described in the method documentation of this project (resize to ``model_mpp``).

    Examples
    --------
    >>> model_shape((400, 600), 0.65, 0.5)
    (520, 780)
    """
    for name, value in (("image_mpp", image_mpp), ("model_mpp", model_mpp)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number of µm per px, found {value}")
    scale = image_mpp / model_mpp
    height, width = (int(n * scale) for n in shape)
    if min(height, width) < 1:
        raise ValueError(
            f"an image of {shape[0]}x{shape[1]} px at {image_mpp} µm/px has no pixel left at {model_mpp} µm/px"
        )
    return height, width
