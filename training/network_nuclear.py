"""The feature-net of the model ``demo_nuclear``: one channel in, and each answer sees 41 x 41 px.

A plain stack of convolutions, dilated instead of pooled, so that what was learned from windows of 41 px runs over whole
tiles at once.

References
----------
Van Valen et al. (2016), Deep learning automates the quantitative analysis of individual cells in live-cell imaging
experiments, PLOS Computational Biology 12, e1005177, doi:10.1371/journal.pcbi.1005177 (windows and dilation).
Bannon et al. (2021), DeepCell Kiosk, Nature Methods 18, 43-45, doi:10.1038/s41592-020-01023-0 (receptive field of
41 px, SGD at 0.01 with momentum 0.9 and decay 1e-6, L2 of 1e-5).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

HEADS = {"nuclear_inner_distance": 1, "nuclear_pixelwise": 3}
INPUT_SHAPE = (256, 256, 1)
WIDTH = 32
STEM_KERNEL = 5
# at half the resolution; a kernel of 3 then reaches 4 px further for each step of dilation
DILATIONS = (1, 1, 2, 2, 2, 1)
RECEPTIVE_FIELD_PX = STEM_KERNEL + 4 * sum(DILATIONS)
L2 = 1e-5


def build_network() -> Any:
    """Build the untrained network.

    Returns
    -------
    keras.Model
        Input ``image``, ``(N, Y, X, 1)`` float32 with even Y and X; outputs in the order of ``HEADS``,
        ``(N, Y, X, C)`` float32: inner distance in 0..1 and probabilities of boundary, interior and background.
    """
    image = keras.Input((None, None, 1), name="image")
    x = _convolve(image, "stem", kernel=STEM_KERNEL, strides=2)
    for index, dilation in enumerate(DILATIONS):
        x = _convolve(x, f"layer{index}", dilation=dilation)
    x = _convolve(x, "features", kernel=1)
    distance = _upscale(x, 1, "nuclear_inner_distance_logits")
    distance = layers.Activation("sigmoid", name="nuclear_inner_distance")(distance)
    classes = layers.Softmax(name="nuclear_pixelwise")(_upscale(x, 3, "nuclear_pixelwise_logits"))
    return keras.Model(image, [distance, classes], name="demo_nuclear")


def _convolve(x: Any, name: str, *, kernel: int = 3, strides: int = 1, dilation: int = 1) -> Any:
    """Convolution, batch normalisation, ReLU."""
    x = layers.Conv2D(
        WIDTH,
        kernel,
        strides=strides,
        dilation_rate=dilation,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(L2),
        name=name,
    )(x)
    x = layers.BatchNormalization(momentum=0.97, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _upscale(features: Any, channels: int, name: str) -> Any:
    """From stride 2 to full size."""
    return layers.Conv2DTranspose(channels, 2, strides=2, kernel_regularizer=keras.regularizers.L2(L2), name=name)(
        features
    )
