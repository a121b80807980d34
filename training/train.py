"""Train the demo network: ``python training/train.py --nuclei ../shared/data/training/dsb2018_fluorescence.npz``.

The first of the five legs of ``train_demo.sh``, which makes the shipped weights. Seeded, with a log (``train.csv``)
and checkpoints in the run folder; started again it goes on from the last checkpoint. The trained weights are written
as NPZ for ``export.py``.
"""

from __future__ import annotations

import argparse
import csv
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from fields import Field, Recipe, load_fields, nuclei_names
from network import build_network, load_weights, save_weights
from samples import draw_sample, hide_marker
from targets import BOUNDARY

HERE = Path(__file__).parent
DISTANCE_WEIGHT = 12.0
BOUNDARY_WEIGHT = 2.0
SETTLING_STEPS = 80
LOG = logging.getLogger("train")


@dataclass(frozen=True)
class TrainingOptions:
    """Settings of a run.

    ``nuclei`` is the archive of real nuclei, without which only drawn tissue is used; ``start`` the weights from which
    to go on instead of random ones; ``touching_weight`` what pixels where objects meet count beyond one; ``crowded``
    whether nuclei of a real image are laid against others from its second time on; ``widefield`` whether every other
    drawn field is one of close nuclei in a haze; ``strange_share`` of the tiles see a marker that tells nothing;
    ``first_batch`` the number of the first batch, for a leg that is to see other cuts than the legs before.
    """

    nuclei: Path | None
    cache: Path
    run: Path
    start: Path | None = None
    seed: int = 20
    steps: int = 4500
    batch: int = 8
    drawn_fields: int = 440
    real_fields: int = 868
    real_share: float = 0.5
    peak_rate: float = 3e-3
    touching_weight: float = 3.0
    crowded: bool = False
    widefield: bool = False
    strange_share: float = 0.0
    first_batch: int = 0
    log_every: int = 20
    check_every: int = 250


def make_recipes(options: TrainingOptions, split: str, drawn: int, real: int) -> list[Recipe]:
    """List a split's fields.

    Parameters
    ----------
    options : TrainingOptions
        Seed and archive.
    split : str
        ``train``, ``validation`` or ``test``.
    drawn, real : int
        Numbers of fields; real images are taken in turn, each time at another scale and with other membranes.

    Returns
    -------
    list of Recipe
        Drawn ones first.
    """
    recipes = [
        Recipe("drawn", split, index, options.seed, is_widefield=options.widefield and index % 2 == 1)
        for index in range(drawn)
    ]
    if options.nuclei is not None:
        names = nuclei_names(options.nuclei, split)
        order = np.random.default_rng(options.seed).permutation(len(names))
        for index in range(real):
            name = names[order[index % len(names)]]
            source, is_crowded = f"{options.nuclei}#{name}", options.crowded and index >= len(names)
            recipes.append(Recipe("real", split, index, options.seed, source, is_crowded))
    return recipes


def draw_batches(fields: list[Field], options: TrainingOptions, first_step: int) -> Iterator[list[np.ndarray]]:
    """Endless batches; each step has random numbers of its own, so that a resumed run sees the same ones."""
    is_real = np.arange(len(fields)) >= min(options.drawn_fields, len(fields))
    share = np.where(is_real, options.real_share, 1 - options.real_share if is_real.any() else 1.0)
    # a field counts by its area, so that small ones are not seen too often
    area = np.array([max(field.image.shape[0] * field.image.shape[1], 2**16) for field in fields], float)
    weight = share * area / np.where(is_real, area[is_real].sum(), area[~is_real].sum())
    without_marker: dict[int, Field] = {}
    step = first_step
    while True:
        rng = np.random.default_rng([options.seed, 1000, step])
        chosen = rng.choice(len(fields), options.batch, p=weight / weight.sum())
        strange = np.zeros(options.batch, bool)
        others = chosen
        if options.strange_share:
            strange = rng.random(options.batch) < options.strange_share
            others = rng.integers(0, len(fields), options.batch)
        samples = []
        for i, other, is_strange in zip(chosen.tolist(), others, strange, strict=True):
            if is_strange and i not in without_marker:
                without_marker[i] = hide_marker(fields[i])
            marker = fields[other].image[..., 1] if is_strange else None
            samples.append(draw_sample(without_marker[i] if is_strange else fields[i], rng, marker))
        yield [np.stack(part) for part in zip(*samples, strict=True)]
        step += 1


def draw_ahead(batches: Iterator[list[np.ndarray]]) -> Iterator[list[np.ndarray]]:
    """Give the same batches, each drawn by a thread of its own while the one before is learned."""
    with ThreadPoolExecutor(1) as drawer:
        coming = drawer.submit(next, batches)
        while True:
            batch = coming.result()
            coming = drawer.submit(next, batches)
            yield batch


def loss_of(outputs: list[Any], distance: Any, classes: Any, touching: Any, touching_weight: float) -> Any:
    """Mean over pixels and compartments of squared distance error and weighted cross entropy.

    Pixels where two objects meet count several times, after Ronneberger et al. (2015), U-Net, MICCAI,
    doi:10.1007/978-3-319-24574-4_28: they are few, and decide whether neighbours merge.

    Parameters
    ----------
    outputs : list of (N, Y, X, C) tensors
        The four heads.
    distance, classes, touching : tensors
        Answers as ``draw_sample`` makes them, with a leading batch axis.
    touching_weight : float
        What a pixel where objects meet counts beyond one.

    Returns
    -------
    tensor
        One number.
    """
    total = 0.0
    for index in range(2):
        predicted, probability = outputs[2 * index][..., 0], outputs[2 * index + 1]
        truth = classes[..., index]
        picked = tf.gather(probability, truth, batch_dims=3)
        weight = tf.where(truth == BOUNDARY, BOUNDARY_WEIGHT, 1.0)
        error = DISTANCE_WEIGHT * tf.square(predicted - distance[..., index])
        error -= weight * tf.math.log(tf.clip_by_value(picked, 1e-6, 1.0))
        total += tf.reduce_mean(error * (1.0 + touching_weight * touching[..., index]))
    return total / 2


def fit(model: Any, train: list[Field], validation: list[Field], options: TrainingOptions) -> None:
    """Train in place; the last weights are averages over the last few hundred steps.

    Parameters
    ----------
    model : keras.Model
        The network.
    train, validation : list of Field
        What is learned from, and what is only watched.
    options : TrainingOptions
        Settings.
    """
    warm = max(options.steps // 20, 1)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5, options.steps - warm, warmup_target=options.peak_rate, warmup_steps=warm
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=2.0, use_ema=True, ema_momentum=0.99)
    optimizer.build(model.trainable_variables)
    done = tf.Variable(0, dtype=tf.int64)
    state = tf.train.Checkpoint(model=model, optimizer=optimizer, done=done)
    checkpoints = tf.train.CheckpointManager(state, str(options.run / "checkpoints"), max_to_keep=2)
    checkpoints.restore_or_initialize()

    @tf.function
    def learn(image: Any, *answers: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(model(image, training=True), *answers, options.touching_weight)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    batches = draw_ahead(draw_batches(train, options, options.first_batch + int(done.numpy())))
    started, recent = time.monotonic(), []
    for step in range(int(done.numpy()) + 1, options.steps + 1):
        recent.append(float(learn(*next(batches))))
        if step % options.log_every == 0 or step == options.steps:
            _report(options, step, time.monotonic() - started, float(np.mean(recent)), None)
            recent = []
        if step % options.check_every == 0 or step == options.steps:
            done.assign(step)
            checkpoints.save()
            _report(options, step, time.monotonic() - started, None, _check(model, validation, options))
    optimizer.finalize_variable_values(model.trainable_variables)
    # averaged weights need statistics of their own
    for _ in range(SETTLING_STEPS):
        model(next(batches)[0], training=True)
    _report(options, options.steps, time.monotonic() - started, None, _check(model, validation, options))


def _check(model: Any, validation: list[Field], options: TrainingOptions) -> float:
    """Loss on fixed cuts of the validation fields."""
    losses = []
    for index in range(0, len(validation), options.batch):
        rng = np.random.default_rng([options.seed, 2000, index])
        samples = [draw_sample(field, rng) for field in validation[index : index + options.batch]]
        image, *answers = (np.stack(part) for part in zip(*samples, strict=True))
        losses.append(float(loss_of(model(image, training=False), *answers, options.touching_weight)))
    return float(np.mean(losses)) if losses else float("nan")


def _report(options: TrainingOptions, step: int, seconds: float, loss: float | None, checked: float | None) -> None:
    """One line to the log and one to the table."""
    values = [step, round(seconds, 1), *("" if v is None else round(v, 5) for v in (loss, checked))]
    path = options.run / "train.csv"
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["step", "seconds", "loss", "validation_loss"]] * is_new + [values])
    bar = "#" * (30 * step // options.steps)
    word, value = ("loss", loss) if loss is not None else ("validation loss", checked)
    LOG.info("[%-30s] step %d/%d  %.0f s  %s %.4f", bar, step, options.steps, seconds, word, value)


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the demo network.")
    parser.add_argument("--nuclei", type=Path, help="NPZ of real nuclei (see README); drawn tissue only without it")
    parser.add_argument("--cache", type=Path, default=HERE / "cache", help="folder for prepared fields")
    parser.add_argument("--run", type=Path, default=HERE / "runs" / "demo", help="folder for log and checkpoints")
    parser.add_argument("--weights", type=Path, help="NPZ to write; weights.npz in the folder of the run unless told")
    parser.add_argument("--start", type=Path, help="NPZ of weights to go on from")
    for name in (
        "seed",
        "steps",
        "drawn_fields",
        "real_fields",
        "peak_rate",
        "touching_weight",
        "strange_share",
        "first_batch",
    ):
        default = getattr(TrainingOptions, name)
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--crowded", action="store_true", help="lay nuclei of real images against others")
    parser.add_argument("--widefield", action="store_true", help="close nuclei in a haze in every other drawn field")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    weights = args.__dict__.pop("weights") or args.run / "weights.npz"
    options = TrainingOptions(**vars(args))
    options.run.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)
    train_recipes = make_recipes(options, "train", options.drawn_fields, options.real_fields)
    LOG.info("preparing %d training fields", len(train_recipes))
    train = list(load_fields(train_recipes, options.cache))
    validation = list(load_fields(make_recipes(options, "validation", 24, 24), options.cache))
    model = build_network()
    if options.start:
        load_weights(model, options.start)
    LOG.info("training %d parameters on %d fields", model.count_params(), len(train))
    fit(model, train, validation, options)
    save_weights(model, weights)
    LOG.info("weights written to %s", weights)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
