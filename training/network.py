"""A small fully convolutional feature-pyramid network with Mesmer's interface.

Two channels in (nuclear, membrane), four heads out: per compartment an inner distance and three pixel classes.
Only standard Keras layers are used, so the same weights load in any Keras from 2.8 on.

References
----------
Lin et al. (2017), Feature Pyramid Networks for Object Detection, CVPR, doi:10.1109/CVPR.2017.106.
He et al. (2016), Deep Residual Learning for Image Recognition, CVPR, doi:10.1109/CVPR.2016.90.
Greenwald et al. (2022), Whole-cell segmentation of tissue images with human-level performance, Nature
Biotechnology 40, 555-565, doi:10.1038/s41587-021-01094-0 (the interface: input, heads and pixel classes).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

HEADS = {
    "whole_cell_inner_distance": 1,
    "whole_cell_pixelwise": 3,
    "nuclear_inner_distance": 1,
    "nuclear_pixelwise": 3,
}
INPUT_SHAPE = (256, 256, 2)
WIDTHS = (16, 32, 64, 96)  # multiples of 16 fill the vector registers
DECODER_WIDTHS = (16, 32, 64)
FEATURE_WIDTH = 16


def build_network() -> Any:
    """Build the untrained network.

    The picture is halved before the first features are made, so that all costly layers run at stride 2 or more;
    each head returns to full size with one transposed convolution of its own.

    Returns
    -------
    keras.Model
        Input ``image``, ``(N, Y, X, 2)`` float32 with Y and X multiples of 16; outputs in the order of ``HEADS``,
        ``(N, Y, X, C)`` float32, inner distances and class probabilities in 0..1. Pixel classes: 0 cell boundary,
        1 interior, 2 background.
    """
    image = keras.Input((None, None, 2), name="image")
    x = _convolve(image, WIDTHS[0], "stem", kernel=4, strides=2)
    levels = [_residual(x, WIDTHS[0], "level0_a")]
    for level, width in enumerate(WIDTHS[1:], start=1):
        x = _convolve(levels[-1], width, f"level{level}_down", strides=2)
        for block in "ab":
            x = _residual(x, width, f"level{level}_{block}")
        levels.append(x)
    for level in (2, 1, 0):
        width = DECODER_WIDTHS[level]
        lateral = _convolve(levels[level], width, f"lateral{level}", kernel=1)
        x = _convolve(x, width, f"top{level}", kernel=1)
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"up{level}")(x)
        x = layers.Add(name=f"merge{level}")([x, lateral])
        x = _convolve(x, width, f"smooth{level}")
    outputs = {}
    for compartment in ("whole_cell", "nuclear"):
        features = _convolve(x, FEATURE_WIDTH, f"{compartment}_features")
        outputs[f"{compartment}_inner_distance"] = _upscale(features, 1, f"{compartment}_inner_distance")
        outputs[f"{compartment}_pixelwise"] = _classify(features, f"{compartment}_pixelwise")
    return keras.Model(image, [outputs[name] for name in HEADS], name="demo")


def _convolve(x: Any, width: int, name: str, *, kernel: int = 3, strides: int = 1, activate: bool = True) -> Any:
    """Convolution, batch normalisation, ReLU."""
    x = layers.Conv2D(
        width, kernel, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    x = layers.BatchNormalization(momentum=0.97, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x


def _residual(x: Any, width: int, name: str) -> Any:
    """Two convolutions around a shortcut."""
    y = _convolve(x, width, f"{name}1")
    y = _convolve(y, width, f"{name}2", activate=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))


def _upscale(features: Any, channels: int, name: str) -> Any:
    """From stride 2 to full size, squeezed into 0..1."""
    logits = layers.Conv2DTranspose(channels, 2, strides=2, name=f"{name}_logits")(features)
    return layers.Activation("sigmoid", name=name)(logits)


def _classify(features: Any, name: str) -> Any:
    """Probabilities of boundary, interior and background as two nested choices: a softmax over 3 is 10 times slower."""
    is_object = _upscale(features, 1, f"{name}_object")
    is_inside = _upscale(features, 1, f"{name}_inside")
    interior = layers.Multiply(name=f"{name}_interior")([is_object, is_inside])
    boundary = layers.Subtract(name=f"{name}_boundary")([is_object, interior])
    background = 1.0 - is_object
    return layers.Concatenate(name=name)([boundary, interior, background])


def save_weights(model: Any, path: str | Path) -> None:
    """Write all weights as a compressed NPZ with entries ``<layer>/<index>``, readable without Keras.

    Parameters
    ----------
    model : keras.Model
        The network.
    path : path
        File to write; replaced in one step.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.unfinished.npz")
    arrays = {
        f"{layer.name}/{index}": values for layer in model.layers for index, values in enumerate(layer.get_weights())
    }
    np.savez_compressed(unfinished, **arrays)
    unfinished.replace(target)


def load_weights(model: Any, path: str | Path) -> None:
    """Read what ``save_weights`` wrote.

    Parameters
    ----------
    model : keras.Model
        A network of the same architecture; changed in place.
    path : path
        The NPZ file.

    Raises
    ------
    ValueError
        If entries are missing, unknown, or of another shape.
    """
    with np.load(path) as stored:
        arrays = dict(stored)
    for layer in model.layers:
        count = len(layer.get_weights())
        if count:
            names = [f"{layer.name}/{index}" for index in range(count)]
            if missing := [name for name in names if name not in arrays]:
                raise ValueError(f"weights file lacks {missing[0]}, which the network expects: {path}")
            layer.set_weights([arrays.pop(name) for name in names])
    if arrays:
        raise ValueError(f"weights file has entries that the network lacks: {sorted(arrays)[:3]} in {path}")
