"""Measure a model on fields that training never saw: ``python training/evaluate.py --nuclei NPZ``.

Prints a table of F1 scores for drawn tissue and for real nuclei; ``--tune`` tries watershed options on the
validation split instead. ``f1_at_iou`` needs NumPy and SciPy only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from fields import Field, Recipe, load_fields, nuclei_names
from numpy.typing import NDArray
from scores import Matches, count_matches, f1_at_iou

from cellbatch.phases.loaded_model import InferenceOptions, LoadedModel
from cellbatch.postprocessing import deep_watershed
from cellbatch.spec import WatershedOptions

__all__ = ["f1_at_iou", "main", "score"]

HERE = Path(__file__).parent
MODEL_FOLDER = HERE.parent / "assets" / "models" / "demo"
SEED = 20
IOUS = (0.5, 0.75, 0.9)
TRIED = {
    "maxima_smooth": (0.0, 1.0, 2.0),
    "maxima_threshold": (0.05, 0.075, 0.1, 0.15),
    "interior_smooth": (1.0, 2.0, 3.0),
    "interior_threshold": (0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    "radius": (2, 3, 4),
    "small_objects_threshold": (15, 30, 45, 60),
}

Maps = dict[str, NDArray[np.float32]]
Case = tuple[str, str, NDArray[np.uint32], Maps]


def infer_cases(model: LoadedModel, fields: Iterator[Field], kinds: list[str]) -> Iterator[Case]:
    """Run the network.

    Parameters
    ----------
    model : LoadedModel
        The network and its manifest.
    fields : iterator of Field
        Preprocessed images with truth.
    kinds : list of str
        ``drawn`` or ``real``, one per field.

    Yields
    ------
    kind, compartment, truth, heads
        One for each compartment that has a truth.
    """
    for kind, field in zip(kinds, fields, strict=True):
        heads = model.infer(field.image[..., : len(model.manifest.channels)])
        yield kind, "nuclear", field.nuclear, heads["nuclear"]
        # cells around real nuclei are drawn ones: they are no evidence
        if kind == "drawn" and "whole_cell" in heads:
            yield kind, "whole_cell", field.whole_cell, heads["whole_cell"]


def score(cases: list[Case], options: Mapping[str, WatershedOptions]) -> dict[str, list[Matches]]:
    """Pool matches over images.

    Parameters
    ----------
    cases : list
        Of ``infer_cases``.
    options : mapping
        Watershed options by compartment.

    Returns
    -------
    dict
        ``"<kind> <compartment>"`` → one Matches per threshold in ``IOUS``.
    """
    pooled: dict[str, list[Matches]] = {}
    for kind, compartment, truth, heads in cases:
        labels = deep_watershed(heads["inner_distance"], heads["interior"], **asdict(options[compartment]))
        sums = pooled.setdefault(f"{kind} {compartment}", [Matches(0, 0, 0)] * len(IOUS))
        for index, iou in enumerate(IOUS):
            sums[index] = Matches(*np.add(sums[index], count_matches(truth, labels, iou)).tolist())
    return pooled


def tune(cases: list[Case], compartment: str, default: WatershedOptions) -> Iterator[tuple[float, WatershedOptions]]:
    """Improve watershed options, one at a time.

    Parameters
    ----------
    cases : list
        Of ``infer_cases``, validation split.
    compartment : str
        Whose options.
    default : WatershedOptions
        Where to start.

    Yields
    ------
    score, options
        Best found after each option; the score is the mean F1 at IoU 0.5 and 0.75 over kinds of images.
    """
    mine = [case for case in cases if case[1] == compartment]

    def value(options: WatershedOptions) -> float:
        found = score(mine, {compartment: options})
        return float(np.mean([matches.f1 for kind in found.values() for matches in kind[:2]]))

    best = default
    for name, values in TRIED.items():
        ranked = [(value(options), options) for options in (replace(best, **{name: v}) for v in values)]
        top, best = max(ranked, key=lambda entry: entry[0])
        yield top, best


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description="Measure a model on held-out fields.")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER, help="model folder")
    parser.add_argument("--nuclei", type=Path, help="NPZ of real nuclei; drawn tissue only without it")
    parser.add_argument("--cache", type=Path, default=HERE / "cache", help="folder for prepared fields")
    parser.add_argument("--drawn", type=int, default=40, help="number of drawn fields")
    parser.add_argument("--real", type=int, default=100, help="largest number of real images")
    parser.add_argument("--tune", action="store_true", help="try watershed options on the validation split")
    args = parser.parse_args(argv)
    split = "validation" if args.tune else "test"
    recipes = [Recipe("drawn", split, index, SEED) for index in range(args.drawn)]
    if args.nuclei:
        names = nuclei_names(args.nuclei, split)[: args.real]
        recipes += [Recipe("real", split, i, SEED, f"{args.nuclei}#{name}") for i, name in enumerate(names)]
    model = LoadedModel(args.model, InferenceOptions(device="cpu", threads=2))
    cases = list(infer_cases(model, load_fields(recipes, args.cache), [recipe.kind for recipe in recipes]))
    shipped = {name: spec.watershed for name, spec in model.manifest.compartments.items()}
    if args.tune:
        for compartment, options in shipped.items():
            for value, better in tune(cases, compartment, options):
                sys.stdout.write(f"{compartment} {value:.4f} {better}\n")
                sys.stdout.flush()
        return 0
    sys.stdout.write("| images | compartment | objects | F1 at 0.5 | F1 at 0.75 | F1 at 0.9 |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for name, matches in score(cases, shipped).items():
        kind, compartment = name.split()
        objects = matches[0].true_positive + matches[0].false_negative
        values = " | ".join(f"{match.f1:.3f}" for match in matches)
        sys.stdout.write(f"| {kind} | {compartment} | {objects} | {values} |\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
