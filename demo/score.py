"""Compare the labels of drawn tissue with its truth, and say where the results are."""

import argparse
import sys
from pathlib import Path

import tifffile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
from scores import f1_at_iou

IOU = 0.5


def main() -> None:
    """Print one line per drawn image, then the places to look at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    options = parser.parse_args()
    print(f"\nF1 at IoU {IOU} on drawn tissue, whose truth is known:")
    for truth in sorted((options.input / "truth").glob("*.tif*")):
        sample, compartment = truth.name.split(".")[:2]
        labels = tifffile.imread(options.results / "labels" / f"{sample}.{compartment}.ome.tif")
        score = f1_at_iou(tifffile.imread(truth), labels, IOU)
        print(f"  {sample:<12} {compartment:<11} {score:.2f}")
    print(f"\nlabels    {options.results}/labels")
    print(f"overlays  {options.results}/qc (the real picture: {options.results}/qc/colon_ihc.overlay.png)")
    print(f"report    {options.results}/report/multiqc_report.html")


if __name__ == "__main__":
    main()
