"""Compare the labels of `nextflow run main.nf -profile test` with those that it is known to give.

Counted are the pixels, not the bytes of the files, which another version of a compressor may write in another way. A
CPU of another kind may round the network's heads in another way, too; where that moves a pixel, it is said which file
differs.
"""

import argparse
import hashlib
import sys
from pathlib import Path

from cellbatch.io.labels import read_labels

KNOWN = Path(__file__).resolve().parents[1] / "assets/test/labels.sha256"


def checksums(results: Path) -> dict[str, str]:
    """SHA-256 of the pixels of every label file, uint32, little-endian, row by row, by name of the file."""
    files = sorted((results / "labels").glob("*.ome.tif"))
    return {file.name: hashlib.sha256(read_labels(file).astype("<u4").tobytes()).hexdigest() for file in files}


def main() -> int:
    """Say of each file whether it is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--write", action="store_true", help="write them down instead, after a change that is meant")
    options = parser.parse_args()
    found = checksums(options.results)
    if options.write:
        KNOWN.write_text("".join(f"{digest}  {name}\n" for name, digest in found.items()), encoding="utf-8")
        return 0
    known = {name: digest for digest, name in (line.split() for line in KNOWN.read_text(encoding="utf-8").splitlines())}
    verdicts = {True: "equal", False: "DIFFERS"}
    for name, digest in known.items():
        sys.stdout.write(f"{name}: {verdicts[found[name] == digest] if name in found else 'ABSENT'}\n")
    return 0 if found == known else 1


if __name__ == "__main__":
    sys.exit(main())
