"""Real tissue through the pipeline with the demo model: counts, agreement with the masks that came with it, pictures.

    python benchmarks/real_images.py --data ../shared/data/images --outdir real

The images are no part of the project. None of them was used for training.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "training"))
from scores import count_matches  # noqa: E402

IMC_PREFIX = "20210305_NE_"
CARD_PX = 420


def list_samples(data: Path) -> list[tuple[str, str, str, str, str]]:
    """Rows of the samplesheet: sample, image, nuclear and membrane channel, µm per px."""
    rows = [
        ("mibi_breast", f"{data}/mibi_breast_fov8/nuc_mem.ome.tif", "0", "1", "0.390625"),
        ("mibi_granuloma", f"{data}/mibi_tb_granuloma/nuc_mem.ome.tif", "0", "1", "0.49"),
        ("cycif", f"{data}/cycif_exemplar001/orig/exemplar001.ome.zarr", "0", "1", "0.65"),
        ("cardiomyocyte", f"{data}/cardiomyocyte_omezarr/orig/cardio_v05_derived.zarr", "DAPI", "Lamin B1", ""),
    ]
    for image in sorted((data / "imc_mock/orig").glob("ome__*.ome.tiff")):
        name = image.name.removeprefix("ome__" + IMC_PREFIX).removesuffix(".ome.tiff")
        rows.append((f"imc_{name}", str(image), "Yb172_H3K27Ac", "Pr141_Cytokeratin 5", "1.0"))
    return rows


def find_mask(data: Path, sample: str) -> tuple[Path, str]:
    """Find the mask that came with a sample, and which compartment it shows."""
    masks = {
        "mibi_breast": ("mibi_breast_fov8/mask_deepcell_2022.tif", "whole_cell"),
        "mibi_granuloma": ("mibi_tb_granuloma/mask_study_wholecell.tif", "whole_cell"),
        "cycif": ("cycif_exemplar001/mask_mcmicro_cell.tif", "whole_cell"),
        "cardiomyocyte": ("cardiomyocyte_omezarr/mask_fractal_nuclei.tif", "nuclear"),
    }
    if sample in masks:
        return data / masks[sample][0], masks[sample][1]
    name = sample.removeprefix("imc_")
    return data / f"imc_mock/orig/masks_deepcell__{IMC_PREFIX}{name}.tiff", "whole_cell"


def score(data: Path, results: Path, samples: list[str]) -> pd.DataFrame:
    """Count matches at IoU 0.5 with the masks, per image, the small ion-mass images pooled."""
    rows = []
    for sample in samples:
        path, compartment = find_mask(data, sample)
        labels = tifffile.imread(results / "labels" / f"{sample}.{compartment}.ome.tif")
        matches = count_matches(tifffile.imread(path), labels, 0.5)
        group = "imc, 15 regions" if sample.startswith("imc_") else sample
        rows.append((group, compartment, *matches))
    columns = ["images", "compartment", "tp", "fp", "fn"]
    table = pd.DataFrame(rows, columns=columns).groupby(columns[:2], sort=False, as_index=False).sum()
    table["f1"] = (2 * table["tp"] / (2 * table["tp"] + table["fp"] + table["fn"])).round(3)
    return table


def draw_contact_sheet(results: Path, samples: list[str], path: Path) -> None:
    """All overlays side by side."""
    columns = int(np.ceil(np.sqrt(len(samples))))
    sheet = Image.new("RGB", (columns * CARD_PX, -(-len(samples) // columns) * CARD_PX))
    for place, sample in enumerate(samples):
        card = Image.open(results / "qc" / f"{sample}.overlay.png")
        card.thumbnail((CARD_PX - 6, CARD_PX - 6))
        sheet.paste(card, (place % columns * CARD_PX, place // columns * CARD_PX))
    sheet.save(path)


def main() -> None:
    """Run, score, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--outdir", type=Path, required=True)
    options = parser.parse_args()
    data, results = options.data.resolve(), options.outdir / "results"
    options.outdir.mkdir(parents=True, exist_ok=True)
    rows = list_samples(data)
    sheet = options.outdir / "samplesheet.csv"
    lines = ["sample,image,nuclear_channel,membrane_channel,image_mpp", *(",".join(row) for row in rows)]
    sheet.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["nextflow", "run", str(ROOT / "main.nf"), "--input", str(sheet), "--outdir", str(results), "-resume"]
    subprocess.run([*command, "-ansi-log", "false", "-work-dir", str(options.outdir / "work")], check=True)
    samples = [row[0] for row in rows]
    summary = pd.read_csv(results / "qc/summary.csv")
    print(summary[["sample", "cells", "nuclei", "median_area_um2", "verdict"]].to_string(index=False))
    print(score(data, results, samples).to_string(index=False))
    draw_contact_sheet(results, samples, options.outdir / "contact_sheet.png")
    print(f"pictures: {options.outdir}/contact_sheet.png")


if __name__ == "__main__":
    main()
