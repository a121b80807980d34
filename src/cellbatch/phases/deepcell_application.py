"""Which of DeepCell's applications a model is, and what ``--engine deepcell`` asks of a run."""

from collections.abc import Mapping
from typing import Any

from cellbatch.errors import ConfigError
from cellbatch.spec import Manifest

MESMER = "Mesmer"
# class of deepcell.applications by the channels and compartments of a manifest
APPLICATIONS = {
    (2, ("nuclear", "whole_cell")): MESMER,
    (1, ("nuclear",)): "NuclearSegmentation",
    (1, ("whole_cell",)): "CytoplasmSegmentation",
}
# what DeepCell's code does and no option of it changes
TILE_STRIDE = 0.75


def name_application(manifest: Manifest) -> str:
    """Class of ``deepcell.applications`` that a manifest describes.

    Raises
    ------
    ConfigError
        If DeepCell has none for such a model.
    """
    kind = (len(manifest.channels), tuple(sorted(manifest.compartments)))
    percentile = manifest.preprocessing.percentile
    if (
        kind not in APPLICATIONS
        or manifest.tile_stride != TILE_STRIDE
        or ((percentile is None) != (APPLICATIONS[kind] != MESMER))
    ):
        raise ConfigError(
            f"--engine deepcell: DeepCell has no application for the model {manifest.name!r} with {kind[0]} channels, "
            f"{' and '.join(kind[1])}, percentile {percentile} and tile_stride {manifest.tile_stride}; it has Mesmer "
            "(2 channels, both compartments) and, with 1 channel and without a percentile, one for nuclei and one for "
            f"whole cells, all with tile_stride {TILE_STRIDE}; choose another --engine"
        )
    return APPLICATIONS[kind]


def check_options(parameters: Mapping[str, Any]) -> None:
    """Refuse what DeepCell's own code cannot do.

    Parameters
    ----------
    parameters : of the run, by name; absent ones are as by default

    Raises
    ------
    ConfigError
        Naming the parameter.
    """
    if not parameters.get("deepcell_python"):
        raise ConfigError(
            "--engine deepcell needs --deepcell_python: the Python of an environment with DeepCell; "
            "setup/create_reference.sh FOLDER makes one (FOLDER/bin/python)"
        )
    if parameters.get("precision") not in (None, "float32"):
        raise ConfigError(
            f"--precision {parameters['precision']} is not known to --engine deepcell; choose float32, or another"
        )
    if parameters.get("preview"):
        raise ConfigError("--preview tries options on heads, which --engine deepcell does not give; choose another")
    if parameters.get("model_mpp"):
        raise ConfigError("--model_mpp is fixed in DeepCell's applications; leave it out, or choose another --engine")
