"""``cellbatch segment``: one image from the command line, without Nextflow."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cellbatch.errors import ConfigError
from cellbatch.inference.engine import DEVICES, ENGINES
from cellbatch.phases.cell_tables import TABLE_FORMATS, TableOptions
from cellbatch.phases.loaded_model import InferenceOptions
from cellbatch.phases.method_options import PREPROCESSING, WATERSHED
from cellbatch.phases.preview_file import preview_file
from cellbatch.phases.segment_files import SegmentRequest, copy_labels, segment_files
from cellbatch.spec import COMPARTMENT_CHOICES

# the first word of deepcell-applications' own command line
APPLICATIONS = ("mesmer",)
OME_ZARR = "ome-zarr"
COUNTS = ("clahe_kernel_size", "small_objects_threshold", "fill_holes_threshold", "radius")


def add_segment(parser: argparse.ArgumentParser) -> None:
    """Add the options; those of deepcell-applications' Mesmer are understood, too."""
    parser.add_argument("image", nargs="?", help="image file, OME-Zarr, or a folder or zip of images")
    parser.add_argument("--nuclear-image", type=Path, help="instead of IMAGE: file with the nuclear channel")
    parser.add_argument("--membrane-image", type=Path, help="file with the membrane channel; a blank one without it")
    _option(parser, "nuclear_channel", nargs="+", help="name, 0-based index or recipe; several are summed")
    _option(parser, "membrane_channel", nargs="+", help="the same for the membrane, or none")
    parser.add_argument("--markers", help="table of channel names: markers.csv or panel.csv")
    _option(parser, "allow_rgb", action="store_true", help="take a colour image as R, G, B and three stains")
    _option(parser, "z_plane", type=int, help="0-based plane of a z-stack or time series")
    parser.add_argument("--projection", choices=("max", "mean"), help="of a z-stack or time series")
    _option(parser, "image_mpp", type=float, help="um per px, where the file does not say")
    _option(parser, "outdir", "--output-directory", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--output-name", help="also write the labels of the cells under this name")
    parser.add_argument("--sample", default="", help="name of the results; default: that of the file")
    parser.add_argument("--model", help="as the pipeline's --model: demo, mesmer, a folder or file; default: demo")
    _option(parser, "model_cache", type=Path, help="keeps models that had to be fetched or converted")
    parser.add_argument("--compartment", choices=COMPARTMENT_CHOICES, default=COMPARTMENT_CHOICES[0])
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--device", choices=DEVICES, default=DEVICES[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: one per processor core")
    _option(parser, "deepcell_python", default="", help="Python of an environment with DeepCell, for its engine")
    _option(parser, "tile_batch", "--batch-size", type=int, help="tiles per call of the network")
    for name in (*PREPROCESSING, *WATERSHED):
        _option(parser, name, type=int if name in COUNTS else float, help="default: the model's own")
    _option(parser, "table_format", choices=tuple(TABLE_FORMATS), default="parquet")
    parser.add_argument("--columns", default="cellbatch", help="cellbatch, qupath, mcquant or ark")
    _option(parser, "measure_channels", help="names or positions, comma-separated; default: all")
    parser.add_argument("--formats", default="", help="comma list: ome-zarr, geojson, geojson.gz, spatialdata")
    _option(parser, "preview_recipes", default="", help="preview: channels to try, 'nuclear | membrane; …'")
    parser.add_argument("--squeeze", action="store_true", help="understood for old command lines: labels are (Y, X)")


def run_segment(options: argparse.Namespace) -> None:
    """Segment what the options name, and say where the results are.

    Raises
    ------
    ConfigError
        If no image is named, or two ways of naming one are mixed.
    """
    request = read_request(options)
    summary = segment_files(request)
    for row in summary.to_dict("records"):
        counts = ", ".join(f"{row[name]} {name}" for name in ("cells", "nuclei") if row[name] == row[name])
        reasons = f" ({row['reasons']})" if row["reasons"] else ""
        sys.stdout.write(f"{row['sample']}: {counts}, {row['verdict']}{reasons}\n")
    seen = summary["sample"].iloc[0] if len(summary) == 1 else "*"
    if options.output_name:
        sys.stdout.write(f"{copy_labels(request, options.output_name)}\n")
    sys.stdout.write(f"results in {request.outdir}; look at {request.outdir / 'qc' / f'{seen}.overlay.png'}\n")


def run_preview(options: argparse.Namespace) -> None:
    """Draw the contact sheet of what the options name, and say where it is.

    Raises
    ------
    ConfigError
        As ``run_segment``.
    """
    sheet = preview_file(read_request(options), options.preview_recipes)
    sys.stdout.write(f"{sheet}\nparams files of its cells in {sheet.with_suffix('')}\n")


def read_request(options: argparse.Namespace) -> SegmentRequest:
    """Turn the options into a request; see ``run_segment``."""
    application = options.image if options.image in APPLICATIONS and options.nuclear_image else None
    image = None if application else options.image
    if (image is None) == (options.nuclear_image is None):
        raise ConfigError("which image? give one IMAGE, or --nuclear-image and, where there is one, --membrane-image")
    if image is not None and options.membrane_image:
        raise ConfigError("--membrane-image goes with --nuclear-image; an IMAGE holds all channels")
    images = {"image": image and Path(image), "nuclear_image": options.nuclear_image}
    images["membrane_image"] = options.membrane_image
    names = ("image_mpp", "compartment", "measure_channels", *PREPROCESSING, *WATERSHED)
    names += ("engine", "tile_batch", "deepcell_python", "markers", "allow_rgb", "z_plane", "projection")
    parameters = {name: getattr(options, name) for name in names}
    for name in ("nuclear_channel", "membrane_channel"):
        parameters[name] = _recipe(getattr(options, name))
    if options.nuclear_image and not options.membrane_image:
        # deepcell-applications ignores the channel of an image that is not given
        parameters["membrane_channel"] = None
    formats = [name for name in options.formats.split(",") if name]
    return SegmentRequest(
        images={column: path for column, path in images.items() if path},
        outdir=options.outdir,
        sample=options.sample,
        model=options.model or application or "demo",
        parameters=parameters,
        table=TableOptions(options.table_format, options.columns, tuple(name for name in formats if name != OME_ZARR)),
        how=InferenceOptions(
            options.engine,
            options.device,
            options.tile_batch,
            max(1, options.threads),
            deepcell_python=options.deepcell_python,
        ),
        model_cache=options.model_cache,
        zarr=OME_ZARR in formats,
    )


def _option(parser: argparse.ArgumentParser, name: str, *others: str, **settings: object) -> None:
    """Add an option that may be written with dashes or with underscores."""
    spellings = dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}", *others])
    parser.add_argument(*spellings, dest=name, **settings)  # type: ignore[arg-type]


def _recipe(channels: Sequence[str] | None) -> str | None:
    """One channel as it is; several as their sum."""
    if not channels:
        return None
    return channels[0] if len(channels) == 1 else f"sum({','.join(channels)})"
