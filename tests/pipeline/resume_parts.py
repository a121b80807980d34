"""One chunk of an OME-Zarr, one line of code, one JSON file, one option: only what depends on it runs again."""

from pathlib import Path

import numpy as np
import zarr
from make_images import MPP, draw_spots, write_image
from traces import check, run_pipeline

FOLDER = Path("parts")
ARGUMENTS = ["--input", "parts/samplesheet.csv", "--batch_pixels", str(256 * 256)]
HEAVY = ["PREPROCESS_IMAGES", "INFER_TILES", "POSTPROCESS_LABELS", "MEASURE_CELLS"]


def write_zarr(path: Path) -> None:
    """An OME-Zarr 0.5 image of two channels in four chunks each."""
    image = draw_spots(7, size=128)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    axes = [{"name": "c", "type": "channel"}] + [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]}
    channels = [{"label": "DAPI"}, {"label": "CD45"}]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": [dataset]}],
        "omero": {"channels": channels},
    }
    array = group.create_array("0", shape=image.shape, chunks=(1, 64, 64), dtype=image.dtype)
    array[:] = image


def main() -> None:
    """Change one thing at a time."""
    FOLDER.mkdir()
    write_zarr(FOLDER / "store.ome.zarr")
    write_image(FOLDER / "plain.ome.tif", 8, size=300, **MPP)
    rows = [
        "sample,image,nuclear_channel,membrane_channel",
        "store,store.ome.zarr,DAPI,CD45",
        "plain,plain.ome.tif,0,1",
    ]
    (FOLDER / "samplesheet.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    first, _ = run_pipeline(*ARGUMENTS)
    check("two batches", len(first["INFER_TILES"]) == 2, first["INFER_TILES"])
    # what a killed run copied by half
    label = Path("results/labels/plain.whole_cell.ome.tif")
    whole = label.read_bytes()
    label.write_bytes(whole[:100])
    repeated, seconds = run_pipeline(*ARGUMENTS)
    check("all cached", repeated == {}, f"{seconds:.1f} s")
    check("a result cut short is copied again", label.read_bytes() == whole, len(whole))

    array = zarr.open_group(FOLDER / "store.ome.zarr")["0"]
    array[0, 70:80, 70:80] = np.full((10, 10), 5000, np.uint16)
    repeated, _ = run_pipeline(*ARGUMENTS)
    counts = {process: len(repeated.get(process, [])) for process in [*HEAVY, "PREPARE_MODEL"]}
    check("one chunk of an OME-Zarr", counts == {**dict.fromkeys(HEAVY, 1), "PREPARE_MODEL": 0}, counts)

    source = Path("src/cellbatch/measurement/cells.py")
    source.write_text(source.read_text(encoding="utf-8") + "\n# a changed line\n", encoding="utf-8")
    repeated, _ = run_pipeline(*ARGUMENTS)
    check("one line of measurement", set(repeated) == {"MEASURE_CELLS", "REPORT_RUN"}, sorted(repeated))

    # the schemas and manifests of other phases lie beside it, in other rooms
    thresholds = Path("src/cellbatch/quality/qc_thresholds.json")
    thresholds.write_text(thresholds.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    repeated, _ = run_pipeline(*ARGUMENTS)
    check("one JSON file", set(repeated) == {"PLAN_BATCHES", "MEASURE_CELLS", "REPORT_RUN"}, sorted(repeated))

    repeated, _ = run_pipeline(*ARGUMENTS, "--maxima_threshold_nuclear", "0.2")
    expected = {"PLAN_BATCHES", "POSTPROCESS_LABELS", "MEASURE_CELLS", "REPORT_RUN"}
    check("one option of the post-processing", set(repeated) == expected, sorted(repeated))


if __name__ == "__main__":
    main()
