"""300 rows in many batches: whatever happens to one row, at most two batches run again."""

from pathlib import Path

from make_images import MPP, write_image
from traces import check, run_pipeline

FOLDER = Path("rows")
# 64 px images weigh one tile each, so this is a budget of 24 images
BUDGET = str(24 * 256 * 256)


def write_sheet(names: list[str]) -> None:
    """One row per name."""
    rows = [f"{name},{name}.ome.tif,DAPI,CD45" for name in names]
    text = "\n".join(["sample,image,nuclear_channel,membrane_channel", *rows]) + "\n"
    (FOLDER / "samplesheet.csv").write_text(text, encoding="utf-8")


def run() -> dict[str, list[str]]:
    """A stub run: the plan is real, the heavy phases only leave empty files."""
    repeated, _ = run_pipeline("--input", "rows/samplesheet.csv", "--batch_pixels", BUDGET, "-stub")
    return repeated


def main() -> None:
    """Remove, add and repair one row, and count."""
    FOLDER.mkdir()
    names = [f"field_{i:03}" for i in range(300)]
    for i, name in enumerate(names):
        write_image(FOLDER / f"{name}.ome.tif", i, size=32, **MPP)
    write_sheet(names)
    first = run()
    batches = len(first["INFER_TILES"])
    check("300 rows make many batches", batches > 15, batches)
    check("a resumed run repeats nothing", run() == {}, "all cached")

    write_sheet(names[:137] + names[138:])
    repeated = run()
    check("batches after a removed row", 1 <= len(repeated["INFER_TILES"]) <= 2, len(repeated["INFER_TILES"]))

    write_image(FOLDER / "new.ome.tif", 999, size=32, **MPP)
    write_sheet([*names[:60], "new", *names[60:]])
    repeated = run()
    check("batches after an added row", 1 <= len(repeated["INFER_TILES"]) <= 2, len(repeated["INFER_TILES"]))

    write_sheet(names)
    write_image(FOLDER / "field_222.ome.tif", 1234, size=40, **MPP)
    repeated = run()
    check("batches after a repaired image", len(repeated["INFER_TILES"]) == 1, len(repeated["INFER_TILES"]))


if __name__ == "__main__":
    main()
