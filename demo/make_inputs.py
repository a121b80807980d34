"""Inputs of the demo: drawn tissue with its truth, and a real picture that scikit-image ships."""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
from skimage import color, data

DRAWN_COUNT = 3
DRAWN_SIZE_PX = 512
# scikit-image does not state the pixel size of its picture; nuclei of usual size appear at about this one
IHC_MPP = 0.5
DRAW_TISSUE = Path(__file__).resolve().parents[1] / "training" / "draw_tissue.py"


def separate_stains(rgb: np.ndarray) -> np.ndarray:
    """Nuclear and marker channel of a brightfield picture: optical densities of haematoxylin and of DAB.

    Parameters
    ----------
    rgb : uint8 (Y, X, 3)

    Returns
    -------
    uint16 (2, Y, X)

    References
    ----------
    Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001, as implemented by
    scikit-image.
    """
    stains = np.moveaxis(color.rgb2hed(rgb), -1, 0)[[0, 2]]
    top = stains.max(axis=(1, 2), keepdims=True)
    return np.round(np.clip(stains / top, 0, 1) * 65535).astype(np.uint16)


def main() -> None:
    """Write the images, the truth and the samplesheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outdir", type=Path, required=True)
    outdir = parser.parse_args().outdir
    if (outdir / "samplesheet.csv").exists():
        return
    outdir.mkdir(parents=True, exist_ok=True)
    sizes = ["--count", str(DRAWN_COUNT), "--size", str(DRAWN_SIZE_PX), "--seed", "2026"]
    subprocess.run([sys.executable, str(DRAW_TISSUE), "--outdir", str(outdir), *sizes], check=True)
    tifffile.imwrite(
        outdir / "colon_ihc.ome.tif",
        separate_stains(data.immunohistochemistry()),
        photometric="minisblack",
        metadata={
            "axes": "CYX",
            "PhysicalSizeX": IHC_MPP,
            "PhysicalSizeY": IHC_MPP,
            "Channel": {"Name": ["haematoxylin", "DAB"]},
        },
    )
    with (outdir / "samplesheet.csv").open("a", encoding="utf-8") as sheet:
        sheet.write("colon_ihc,colon_ihc.ome.tif,haematoxylin,DAB\n")


if __name__ == "__main__":
    main()
