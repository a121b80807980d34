"""Train ``demo_nuclear``: ``python training/train_nuclear.py --nuclei dsb2018_fluorescence.npz``.

The recipe of the DeepCell Kiosk paper: plain SGD, and fields of real nuclei for the most part. Seeded; the weights are
written as NPZ for ``export_nuclear.py``.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from fields import load_fields
from network import save_weights
from network_nuclear import build_network
from targets import BOUNDARY
from train import BOUNDARY_WEIGHT, DISTANCE_WEIGHT, SETTLING_STEPS, TrainingOptions, draw_batches, make_recipes

HERE = Path(__file__).parent
RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-6
NUCLEAR = 1  # the second compartment of a field
CROP_PX = 128  # three times the receptive field
LOG = logging.getLogger("train_nuclear")


def loss_of(outputs: list[Any], distance: Any, classes: Any) -> Any:
    """Mean over pixels of squared distance error and weighted cross entropy.

    Parameters
    ----------
    outputs : list of (N, Y, X, C) tensors
        The two heads.
    distance : (N, Y, X) float32
        Inner distance.
    classes : (N, Y, X) int32
        Boundary, interior or background.

    Returns
    -------
    tensor
        One number.
    """
    picked = tf.gather(outputs[1], classes, batch_dims=3)
    weight = tf.where(classes == BOUNDARY, BOUNDARY_WEIGHT, 1.0)
    error = DISTANCE_WEIGHT * tf.square(outputs[0][..., 0] - distance)
    return tf.reduce_mean(error - weight * tf.math.log(tf.clip_by_value(picked, 1e-6, 1.0)))


def fit(model: Any, batches: Iterator[list[np.ndarray]], steps: int) -> None:
    """Train in place; the learning rate falls to a tenth for the last fifth of the steps.

    Parameters
    ----------
    model : keras.Model
        The network.
    batches : iterator
        Of ``draw_batches``.
    steps : int
        How many batches are learned from.
    """
    rate = tf.Variable(RATE, trainable=False)
    velocity = [tf.Variable(tf.zeros_like(weight), trainable=False) for weight in model.trainable_variables]

    @tf.function
    def learn(image: Any, distance: Any, classes: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(model(image, training=True), distance, classes)
            total = loss + tf.add_n(model.losses)
        for weight, moved, slope in zip(
            model.trainable_variables, velocity, tape.gradient(total, model.trainable_variables), strict=True
        ):
            moved.assign(MOMENTUM * moved - rate * slope)
            weight.assign_add(moved)
        return loss

    started, recent = time.monotonic(), []
    for step in range(1, steps + 1):
        rate.assign(RATE / (1 + DECAY * step) * (0.1 if step > 0.8 * steps else 1))
        recent.append(float(learn(*_nuclear_only(next(batches)))))
        if step % 20 == 0 or step == steps:
            LOG.info("step %d/%d  %.0f s  loss %.4f", step, steps, time.monotonic() - started, np.mean(recent))
            recent = []
    # the running statistics of the last weights alone
    for _ in range(SETTLING_STEPS):
        model(_nuclear_only(next(batches))[0], training=True)


def _nuclear_only(batch: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the nuclear channel and its answers, in a corner of each cut."""
    image, distance, classes, _ = batch
    crop = (slice(None), slice(CROP_PX), slice(CROP_PX))
    return image[(*crop, slice(1))], distance[(*crop, NUCLEAR)], classes[(*crop, NUCLEAR)]


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the model demo_nuclear.")
    parser.add_argument("--nuclei", type=Path, required=True, help="NPZ of real nuclei (see README)")
    parser.add_argument("--cache", type=Path, default=HERE / "cache", help="folder for prepared fields")
    parser.add_argument("--weights", type=Path, default=HERE / "demo_nuclear.weights.npz", help="file to write")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--drawn_fields", type=int, default=60)
    parser.add_argument("--real_fields", type=int, default=240)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    counts = {"batch": args.batch, "drawn_fields": args.drawn_fields, "real_fields": args.real_fields}
    options = TrainingOptions(args.nuclei, args.cache, HERE, real_share=0.85, **counts)
    keras.utils.set_random_seed(options.seed)
    fields = list(load_fields(make_recipes(options, "train", args.drawn_fields, args.real_fields), args.cache))
    model = build_network()
    LOG.info("training %d parameters on %d fields", model.count_params(), len(fields))
    fit(model, draw_batches(fields, options, 0), args.steps)
    save_weights(model, args.weights)
    LOG.info("weights written to %s", args.weights)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
