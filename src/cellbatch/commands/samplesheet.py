"""``cellbatch samplesheet``: a samplesheet of a folder of images, and what it still leaves open."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from cellbatch.phases.write_samplesheet import ListedImage, ListedImages, write_samplesheet

NAMED = 3
SMALLEST_UM, LARGEST_UM = 0.01, 100
ASKED = {
    "image_mpp": "um per pixel",
    "nuclear_channel": "name or 0-based number",
    "membrane_channel": "name or 0-based number, several as max(A,B), or none",
}


def add_samplesheet(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("places", nargs="+", type=Path, metavar="FOLDER", help="folders of images, or image files")
    parser.add_argument("--output", type=Path, default=Path("samplesheet.csv"), help="default: samplesheet.csv")
    parser.add_argument("--image-mpp", "--image_mpp", type=_pixel_size, help="um per px, where a file does not say")
    for name in ("nuclear", "membrane"):
        parser.add_argument(f"--{name}-channel", f"--{name}_channel", help="of the images with several channels")


def run_samplesheet(options: argparse.Namespace) -> None:
    """Write the sheet, and say what was found, what is left open and what comes next."""
    known = {name: str(value) for name in ASKED if (value := getattr(options, name)) is not None}
    found = write_samplesheet(options.places, options.output, known)
    sys.stdout.write("\n".join(_told(found, options.output)) + "\n")


def _pixel_size(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not SMALLEST_UM <= value <= LARGEST_UM:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {SMALLEST_UM} to {LARGEST_UM} um per px")
    return value


def _told(found: ListedImages, path: Path) -> Iterator[str]:
    """Lines for a person."""
    width = max(len(image.row["sample"]) for image in found.images)
    for image in found.images:
        yield f"{image.row['sample']:{width}}  {_described(image)}"
    for name, reason in found.left_out:
        yield f"LEFT OUT {name}: {reason}"
    if found.others:
        more = f" and {len(found.others) - NAMED} more" if len(found.others) > NAMED else ""
        yield f"no images: {', '.join(found.others[:NAMED])}{more}"
    yield f"{path}: {len(found.images)} image{'s' * (len(found.images) > 1)}"
    is_complete = True
    for column, meaning in ASKED.items():
        rows = [image.row["sample"] for image in found.images if column in image.open_columns]
        if rows:
            is_complete = False
            more = ", …" if len(rows) > NAMED else ""
            yield f"  fill in {column} ({meaning}) of {len(rows)}: {', '.join(rows[:NAMED])}{more}"
    yield f"{'next' if is_complete else 'then'}: nextflow run main.nf --input '{path}' --outdir results"


def _described(image: ListedImage) -> str:
    """Size, channels and pixel size of an image, as its file tells them."""
    channels, height, width = image.header.shape
    names = ", ".join(f"{number} {name}".strip() for number, name in enumerate(image.header.channel_names))
    if not any(image.header.channel_names):
        names = f"0 to {channels - 1}, without names"
    said = f"{image.header.image_mpp:g} um/px" if image.header.image_mpp else "pixel size not stated"
    shown = f"{channels} channel{'s' * (channels > 1)}" + (f" ({names})" if channels > 1 else "")
    return f"{height} x {width} px, {image.header.dtype}, {shown}, {said}"
