"""The grid of a preview: which parameters each cell of its contact sheet stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cellbatch.errors import ConfigError
from cellbatch.phases.method_options import MODEL_MPP, PREPROCESSING, WATERSHED, adapt_manifest
from cellbatch.phases.postprocess_labels import resolve_watershed
from cellbatch.spec import Manifest

# columns of the sheet: what the pixel size is multiplied by, as the network sees it
MPP_FACTORS = (1.0, 0.75, 1.33)
# rows: what the thresholds are multiplied by
THRESHOLDS: dict[str, dict[str, float]] = {
    "thresholds as they are": {},
    "maxima thresholds halved": {"maxima_threshold": 0.5},
    "maxima thresholds doubled": {"maxima_threshold": 2.0},
    "interior threshold halved": {"interior_threshold": 0.5},
    "interior threshold doubled": {"interior_threshold": 2.0},
}
CHANNELS = ("nuclear_channel", "membrane_channel")


@dataclass(frozen=True)
class PreviewRecipe:
    """Channels to try, as the user wrote them; empty = the sample's own."""

    nuclear: str = ""
    membrane: str = ""

    def parameters(self) -> dict[str, str]:
        """Parameters of the pipeline that stand for it."""
        return {name: text for name, text in zip(CHANNELS, (self.nuclear, self.membrane), strict=True) if text}


@dataclass(frozen=True)
class PreviewCell:
    """One cell of the sheet: its place, what it shows, and the parameters that give it."""

    row: int
    column: int
    caption: str
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of its file of parameters."""
        return f"r{self.row + 1}c{self.column + 1}.json"


def parse_recipes(text: str) -> tuple[PreviewRecipe, ...]:
    """Read the recipes to try, after the sample's own: ``nuclear | membrane``, or a membrane alone, between ``;``.

    Raises
    ------
    ConfigError
        If one of them is empty or has more than two parts.

    Examples
    --------
    >>> parse_recipes("DAPI | max(PanCK,CD45); CD45")[1:]
    (PreviewRecipe(nuclear='DAPI', membrane='max(PanCK,CD45)'), PreviewRecipe(nuclear='', membrane='CD45'))
    """
    recipes = [PreviewRecipe()]
    for recipe in text.split(";") if text.strip() else []:
        parts = [part.strip() for part in recipe.split("|")]
        if len(parts) > 2 or not any(parts):
            raise ConfigError(
                f"--preview_recipes: found {recipe.strip()!r}, expected 'nuclear | membrane' or 'membrane'; several "
                "are separated by ;"
            )
        recipes.append(PreviewRecipe(*([""] * (2 - len(parts)) + parts)))
    return tuple(recipes)


def lay_grid(
    manifest: Manifest, parameters: Mapping[str, Any], recipes: Sequence[PreviewRecipe] = (PreviewRecipe(),)
) -> Iterator[PreviewCell]:
    """Cells of the sheet, row by row: the rows of thresholds once per recipe.

    Parameters
    ----------
    manifest : of the model
    parameters : of the run, around which the grid is laid; each cell repeats those that decide labels
    recipes : channels to try
    """
    names = (*PREPROCESSING, *WATERSHED, "compartment", *CHANNELS, "model")
    given = {name: parameters[name] for name in names if parameters.get(name) is not None}
    adapted = adapt_manifest(manifest, {name: given.get(name) for name in PREPROCESSING})
    compartments = adapted.selected(given.get("compartment") or "both")
    options = resolve_watershed(compartments, {name: given.get(name) for name in WATERSHED})
    for place, recipe in enumerate(recipes):
        for row, (caption, factors) in enumerate(THRESHOLDS.items()):
            changed: dict[str, Any] = recipe.parameters()
            for name, factor in factors.items():
                for compartment, watershed in options.items():
                    key = f"{name}_{compartment}" if name == "maxima_threshold" else name
                    changed[key] = round(getattr(watershed, name) * factor, 6)
            channels = " | ".join(recipe.parameters().values())
            for column, factor in enumerate(MPP_FACTORS):
                scaled = {} if factor == 1 else {MODEL_MPP: round(adapted.model_mpp / factor, 6)}
                size = f"pixel size x {factor:g}" if factor != 1 else ""
                at = place * len(THRESHOLDS) + row
                text = f"r{at + 1}c{column + 1}: {caption}\n{', '.join(filter(None, (size, channels)))}"
                yield PreviewCell(at, column, text, {**given, **changed, **scaled})
