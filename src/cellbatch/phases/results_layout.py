"""Results of a batch in one file of each kind instead of one per sample: a million samples are not a million files.

Labels are joined here; ``batch_files`` joins what wants the libraries of tables.
"""

import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

from cellbatch.errors import ConfigError
from cellbatch.io.atomic import atomic_path
from cellbatch.spec import LAYOUTS, TABLE_SUFFIXES

SAMPLE, BATCH = LAYOUTS
# from here on files per batch are what is written unless something else is asked for
MANY_SAMPLES = 10_000
LABELS = ".ome.tif"
# unpacked files may be read by others, too; zipfile's own default is 0600
READABLE = stat.S_IFREG | 0o644


def choose_layout(wanted: str | None, samples: int, table_format: str) -> str:
    """Choose between files per sample and per batch.

    Parameters
    ----------
    wanted : ``--results_layout``, None where nobody says
    samples : of the run
    table_format : ``anndata`` is a file per sample in either layout of the others, so it keeps the layout ``sample``

    Raises
    ------
    ConfigError
        For another word, or ``batch`` with ``anndata``.

    Examples
    --------
    >>> choose_layout(None, 10_001, "parquet"), choose_layout(None, 10_000, "parquet")
    ('batch', 'sample')
    """
    if wanted not in (None, *LAYOUTS):
        raise ConfigError(f"--results_layout {wanted}: unknown; known: {', '.join(LAYOUTS)}")
    is_table = table_format in TABLE_SUFFIXES
    if wanted == BATCH and not is_table:
        raise ConfigError(
            f"--results_layout batch joins the tables of samples, which --table_format {table_format} does not allow; "
            f"use --table_format {' or '.join(TABLE_SUFFIXES)}, or --results_layout sample"
        )
    return wanted or (BATCH if samples > MANY_SAMPLES and is_table else SAMPLE)


def join_labels(folder: Path, batch: str) -> None:
    """Move the label images of a folder into ``<batch>.zip``, stored as they are and in the order of their names."""
    files = sorted(folder.glob(f"*{LABELS}"))
    if not files:
        return
    with atomic_path(folder / f"{batch}.zip") as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file in files:
            # without a date, so that equal labels give equal archives
            entry = zipfile.ZipInfo(file.name)
            entry.external_attr = READABLE << 16
            entry.file_size = file.stat().st_size
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while part := source.read(1 << 20):
                    target.write(part)
    remove_files(files)


def remove_files(files: Sequence[Path]) -> None:
    """Remove what has gone into the file of the batch."""
    for file in files:
        file.unlink()
