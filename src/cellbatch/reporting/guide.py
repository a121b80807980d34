"""How to open the results, and whom to cite: text of the report that depends on what was written."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from cellbatch.reporting.section import make_section

_CITED = (
    ("the model", None),
    (
        "deep watershed and whole-cell segmentation: Greenwald et al., Nature Biotechnology 40 (2022) 555",
        "https://doi.org/10.1038/s41587-021-01094-0",
    ),
    ("DeepCell at scale: Bannon et al., Nature Methods 18 (2021) 43", "https://doi.org/10.1038/s41592-020-01023-0"),
    ("Nextflow: Di Tommaso et al., Nature Biotechnology 35 (2017) 316", "https://doi.org/10.1038/nbt.3820"),
    (
        "this page, MultiQC: Ewels et al., Bioinformatics 32 (2016) 3047",
        "https://doi.org/10.1093/bioinformatics/btw354",
    ),
)


def section_of_opening(sample: str, parameters: Mapping[str, Any], batch: str = "") -> dict[str, Any]:
    """Say how the results of a sample are opened elsewhere.

    Parameters
    ----------
    sample : any of the run, for the examples
    parameters : ``formats``, ``table_format`` and ``compartment`` decide what there is
    batch : of the sample, where results are in files per batch; empty where they are in files per sample
    """
    if batch:
        return _section_of_batch(sample, parameters, batch)
    formats = str(parameters.get("formats") or "ome-tiff").split(",")
    compartment = "nuclear" if parameters.get("compartment") == "nuclear" else "whole_cell"
    table_format = str(parameters.get("table_format") or "parquet")
    table = f"cells/{sample}.cells.{'h5ad' if table_format == 'anndata' else table_format}"
    read = "read_csv" if table.endswith("csv") else "read_parquet"
    labels = f"labels/{sample}.{compartment}.ome.tif"
    steps = [("QuPath", _qupath(sample, formats))]
    if "ome-zarr" in formats:
        steps.append(("napari", _code(f"napari --plugin napari-ome-zarr zarr/{sample}.ome.zarr")))
    if "ome-tiff" in formats:
        lines = (
            "import napari, tifffile",
            'viewer = napari.view_image(tifffile.imread("the image"))',
            f'viewer.add_labels(tifffile.imread("{labels}").astype("int32"))',
            "napari.run()",
        )
        steps.append(("napari, from the labels", _code("\n".join(lines))))
    lines = (
        "import anndata, pandas",
        f'cells = pandas.{read}("{table}")',
        'cells.index = cells["label"].astype(str)',
        'channels = cells.filter(regex="^mean_")',
        'data = anndata.AnnData(channels, obs=cells[["label", "area_um2"]])',
        'data.obsm["spatial"] = cells[["centroid_x", "centroid_y"]].to_numpy()',
    )
    if table_format == "anndata":
        steps.append(("scanpy, squidpy", _code(f'import scanpy\ndata = scanpy.read_h5ad("{table}")')))
    elif str(parameters.get("columns") or "cellbatch") == "cellbatch":
        steps.append(("scanpy, squidpy", _code("\n".join(lines))))
    if "spatialdata" in formats:
        lines = ("import spatialdata", f'data = spatialdata.read_zarr("spatialdata/{sample}.zarr")')
        steps.append(("SpatialData", _code("\n".join(lines))))
    cells = f"<code>{table}</code>" if table_format == "csv" else "cells tables, with <code>--table_format csv</code>"
    steps.append(("a spreadsheet", f"<p>Open <code>qc/summary.csv</code> (a row per sample) or {cells}.</p>"))
    rows = "".join(f"<tr><th>{name}</th><td>{how}</td></tr>" for name, how in steps)
    html = f'<table class="table table-sm cellbatch-facts"><tbody>{rows}</tbody></table>'
    note = f"Paths count from the results folder; <code>{escape(sample)}</code> stands for any sample."
    return make_section("open", "Open your results", note, "html", html)


def _section_of_batch(sample: str, parameters: Mapping[str, Any], batch: str) -> dict[str, Any]:
    """Say how a sample is taken out of the files of its batch."""
    formats = str(parameters.get("formats") or "ome-tiff").split(",")
    compartment = "nuclear" if parameters.get("compartment") == "nuclear" else "whole_cell"
    table_format = str(parameters.get("table_format") or "parquet")
    lines = ("import pandas", f'cells = pandas.read_{table_format}("cells/{batch}.{table_format}")')
    steps = [("tables", _code("\n".join((*lines, f'cells = cells[cells["sample"] == "{sample}"]'))))]
    if "ome-tiff" in formats:
        name = f"{sample}.{compartment}.ome.tif"
        lines = (
            "import tifffile, zipfile",
            f'with zipfile.ZipFile("labels/{batch}.zip").open("{name}") as file:',
            "    labels = tifffile.imread(file)",
        )
        steps.insert(0, ("labels", _code("\n".join(lines))))
    if any(name.startswith("geojson") for name in formats):
        shapes = f"shapes/{escape(batch)}.geojson.gz"
        steps.append(("outlines", f"<p><code>{shapes}</code>; every object has the property <code>sample</code>.</p>"))
    steps.append(("a spreadsheet", "<p>Open <code>qc/summary.csv</code>: a row per sample, with its batch.</p>"))
    rows = "".join(f"<tr><th>{name}</th><td>{how}</td></tr>" for name, how in steps)
    html = f'<table class="table table-sm cellbatch-facts"><tbody>{rows}</tbody></table>'
    note = (
        f"Paths count from the results folder; <code>{escape(sample)}</code> and its batch "
        f"<code>{escape(batch)}</code> stand for any sample. Pictures are kept of samples that did not pass."
    )
    return make_section("open", "Open your results", note, "html", html)


def section_of_citations(model: Mapping[str, Any]) -> dict[str, Any]:
    """List whom to cite, the model first."""
    items = []
    for text, address in _CITED:
        if address is None:
            text = f"the model {model.get('name', '')}: {model.get('citation') or 'see its model card'}"
        link = f' <a href="{address}">{address}</a>' if address else ""
        items.append(f"<li>{escape(text)}{link}</li>")
    return make_section("cite", "How to cite", "", "html", f"<ul>{''.join(items)}</ul>")


def _qupath(sample: str, formats: list[str]) -> str:
    shapes = next((name for name in ("geojson", "geojson.gz") if name in formats), None)
    if shapes:
        return f"<p>Open the image, then drag <code>shapes/{escape(sample)}.{shapes}</code> onto it.</p>"
    again = _code("nextflow run … -resume --formats ome-tiff,geojson")
    return (
        f"<p>Write outlines that QuPath imports as cells, without segmenting again:</p>{again}"
        f"<p>then open the image and drag <code>shapes/{escape(sample)}.geojson</code> onto it.</p>"
    )


def _code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"
