"""Random maps and options that are hard on a watershed, from a seed."""

import numpy as np
from scipy import ndimage

KINDS = ("noise", "smooth", "quantised", "saturated", "logistic", "pinholes", "plateaus", "constant", "cells", "offset")


def draw_shape(rng: np.random.Generator, longest: int = 900) -> tuple[int, int]:
    """Median 64 px a side, 5 % above 256, some one pixel wide."""
    if rng.random() < 0.05:
        sides = rng.integers(256, 701), rng.integers(256, 901)
    else:
        sides = tuple(np.clip(rng.lognormal(np.log(64), 0.6, 2), 1, 256).astype(int))
    if rng.random() < 0.06:
        sides = (1, sides[1]) if rng.random() < 0.5 else (sides[0], 1)
    return int(min(sides[0], longest)), int(min(sides[1], longest))


def draw_map(rng: np.random.Generator, shape: tuple[int, int], kind: str | None = None) -> np.ndarray:
    """Float32 map of one of `KINDS`."""
    kind = kind or str(rng.choice(KINDS))
    values = rng.random(shape)
    if kind != "noise":
        values = _stretch(ndimage.gaussian_filter(values, float(rng.choice([0.7, 1.5, 3, 6]))))
    if kind == "quantised":
        levels = rng.integers(1, 40)
        values = np.round(values * levels) / levels
    elif kind == "saturated":
        values = np.clip(values * rng.uniform(1, 3) - rng.uniform(0, 0.5), 0, 1)
    elif kind == "logistic":
        values = 1 / (1 + np.exp(-(values - 0.5) * rng.choice([10, 40, 150])))
    elif kind == "pinholes":
        values = np.where(rng.random(shape) < rng.uniform(0.001, 0.1), 0, values)
    elif kind == "plateaus":
        values = np.kron(values[::6, ::5], np.ones((6, 5)))[: shape[0], : shape[1]]
    elif kind == "constant":
        values = np.full(shape, rng.choice([0, 0.5, 1, -2]))
        values[rng.random(shape) < rng.choice([0, 0.01])] += 0.3
    elif kind == "cells":
        is_centre = rng.random(shape) < rng.uniform(0.0005, 0.01)
        distance = ndimage.distance_transform_edt(~is_centre) if is_centre.any() else np.full(shape, 9.0)
        values = 1 / (1 + rng.choice([0.05, 0.1, 0.3]) * distance)
    elif kind == "offset":
        values = values * rng.choice([80, 1e-3]) - rng.choice([40, 0])
    return values.astype(np.float32)


def draw_layout(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """The same values in another memory layout, or read-only."""
    choice = rng.integers(5)
    if choice == 0:
        return np.asfortranarray(values)
    if choice == 1:
        return np.repeat(values, 2, axis=1)[:, ::2]
    if choice == 2:
        return np.ascontiguousarray(values[::-1])[::-1]
    if choice == 3:
        values = values.copy()
        values.flags.writeable = False
    return values


def draw_case(seed: int, longest: int = 900) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Inner distance, interior and options of ``deep_watershed``."""
    rng = np.random.default_rng(seed)
    shape = draw_shape(rng, longest)
    inner_distance, interior = draw_map(rng, shape), draw_map(rng, shape)
    if rng.random() < 0.3:
        interior = inner_distance
    options = {
        "maxima_threshold": float(rng.choice([0.01, 0.05, 0.075, 0.1, 0.3, 2])),
        "interior_threshold": float(rng.choice([0.2, 0.01, 0.5, -50, rng.random()])),
        "maxima_smooth": float(rng.choice([0, 0, 0, 1, 2.3])),
        "interior_smooth": float(rng.choice([0, 1, 2, 2, 2, 0.05, 4])),
        "radius": int(rng.choice([1, 2, 2, 2, 3, 5, 10])),
        "small_objects_threshold": float(rng.choice([0, 15, 15, 40, 2.5])),
        "fill_holes_threshold": float(rng.choice([0, 15, 15, 60, 3.5, 400])),
    }
    return draw_layout(rng, inner_distance), draw_layout(rng, interior), options


def _stretch(values: np.ndarray) -> np.ndarray:
    """Rescale to 0 … 1."""
    return (values - values.min()) / max(float(np.ptp(values)), 1e-9)
