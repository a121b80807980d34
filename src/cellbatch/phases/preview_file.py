"""A preview of one image file, without Nextflow."""

from __future__ import annotations

import tempfile
from pathlib import Path

from cellbatch.errors import ConfigError
from cellbatch.phases.preview_images import preview_images
from cellbatch.phases.segment_files import SegmentRequest, plan_request


def preview_file(request: SegmentRequest, recipes: str = "") -> Path:
    """Draw the contact sheet of one image and write a file of parameters per cell; see ``preview_images``.

    Parameters
    ----------
    request : one image, and the parameters around which the grid is laid
    recipes : channels to try besides the request's own, as ``--preview_recipes`` takes them

    Returns
    -------
    Path
        Of ``<outdir>/<sample>.preview.png``.

    Raises
    ------
    InputError, ConfigError
        As ``segment_files``; also if the request names a folder of images.
    """
    request.outdir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".preview.", dir=request.outdir) as staged:
        folder = request.ready_model(Path(staged))
        batches = plan_request(request, folder, Path(staged))
        if len(batches) != 1 or len(batches[0].samples) != 1:
            raise ConfigError("a preview shows one image; name a file instead of a folder")
        parameters = {**request.parameters, "model": request.model, "preview_recipes": recipes}
        sheets = preview_images(batches[0], Path(staged) / "images", folder, parameters, request.how, request.outdir)
    return sheets[0]
