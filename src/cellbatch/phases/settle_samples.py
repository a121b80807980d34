"""What a sample's row, its files' headers and the parameters say together: pixel size and channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cellbatch.errors import ConfigError, InputError
from cellbatch.geometry.scale import model_shape
from cellbatch.io.markers import MEMBRANE, NUCLEAR, MarkerTable, parse_markers
from cellbatch.io.parameters import split_list
from cellbatch.io.samplesheet import Row
from cellbatch.preprocessing.channels import resolve_recipe
from cellbatch.spec import ImageHeader, Manifest, ReadOptions

BLANK = "none"
# pixel sizes that differ by more contradict each other
MPP_TOLERANCE = 0.01


@dataclass(frozen=True)
class Fallbacks:
    """Parameters that stand in for empty cells, channels to measure, and whether the run needs a membrane at all.

    ``markers`` : names of the channels, in place of the image's own; ``reading`` : how files are to be understood.
    ``stub`` : the run only tries the graph, and an empty file stands for an image of two channels of 1 Mpx.
    """

    image_mpp: float | None = None
    nuclear_channel: str = ""
    membrane_channel: str = ""
    needs_membrane: bool = True
    model_mpp: float = 0.5
    measure_channels: tuple[str, ...] = ()
    stub: bool = False
    markers: MarkerTable | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)

    @classmethod
    def of_run(cls, parameters: Mapping[str, Any], manifest: Manifest) -> Fallbacks:
        """Take what stands in from the parameters of a run.

        Parameters
        ----------
        parameters : checked; ``marker_table`` holds the text of the file that ``markers`` names
        manifest : of the model

        Raises
        ------
        InputError
            if the table of markers cannot be read
        ConfigError
            if both a plane and a projection are named
        """
        plane, projection = parameters.get("z_plane"), parameters.get("projection") or ""
        if plane is not None and projection:
            raise ConfigError(f"--z_plane {plane} and --projection {projection} exclude each other; give one of them")
        table = parameters.get("marker_table")
        markers = parse_markers(str(table), str(parameters.get("markers"))) if table else None
        return cls(
            image_mpp=parameters.get("image_mpp"),
            nuclear_channel=str(parameters.get("nuclear_channel") or (markers.recipe(NUCLEAR) if markers else "")),
            membrane_channel=str(parameters.get("membrane_channel") or (markers.recipe(MEMBRANE) if markers else "")),
            model_mpp=manifest.model_mpp,
            needs_membrane="membrane" in manifest.channels and parameters.get("compartment") != "nuclear",
            measure_channels=split_list(str(parameters.get("measure_channels") or "")),
            stub=bool(parameters.get("stub")),
            markers=markers,
            reading=ReadOptions(bool(parameters.get("allow_rgb")), plane, projection),
        )


@dataclass(frozen=True)
class Settled:
    """Pixel size and recipes of a sample; ``remark`` says where its sources contradict each other."""

    image_mpp: float
    nuclear: str
    membrane: str
    remark: str = ""


def settle_sample(
    row: Row, headers: Mapping[str, ImageHeader], fallbacks: Fallbacks
) -> tuple[Settled | None, list[tuple[str, str]]]:
    """Settle all that a row leaves open.

    Parameters
    ----------
    row : as the samplesheet gives it
    headers : by role: ``image``, or ``nuclear`` and perhaps ``membrane``
    fallbacks : stand in for empty cells

    Returns
    -------
    settled : None if anything is wrong
    faults : column and message of everything that is wrong
    """
    faults: list[tuple[str, str]] = []

    def attempt(column: str, settle: Callable[[], str]) -> str:
        try:
            return settle()
        except ValueError as error:  # an InputError is one, too
            faults.append((column, str(error)))
            return ""

    mpp, remark = 0.0, ""
    try:
        mpp, remark = settle_mpp(row, headers, fallbacks)
        model_shape(next(iter(headers.values())).shape[1:], mpp, fallbacks.model_mpp)  # an error if no pixel is left
    except ValueError as error:
        faults.append(("image_mpp", str(error)))
    shapes = {role: header.shape[1:] for role, header in headers.items()}
    if len(set(shapes.values())) > 1:
        text = f"the nuclear image is {shapes['nuclear']} px and the membrane image {shapes['membrane']} px"
        faults.append(("membrane_image", f"{text}; give two images of one size"))
    nuclear = attempt("nuclear_channel", lambda: _settle_nuclear(row, headers, fallbacks))
    membrane = attempt("membrane_channel", lambda: _settle_membrane(row, headers, fallbacks))
    return (None if faults else Settled(mpp, nuclear, membrane, remark)), faults


def settle_mpp(row: Row, headers: Mapping[str, ImageHeader], fallbacks: Fallbacks) -> tuple[float, str]:
    """Settle the pixel size: column, else the files' metadata, else the parameter, else an error.

    Returns
    -------
    image_mpp : µm per px
    remark : what contradicts it by more than 1 %, empty if nothing does

    Raises
    ------
    InputError
        if nothing says it, or two files without a column contradict each other
    """
    stated = {role: header.image_mpp for role, header in headers.items() if header.image_mpp is not None}
    from_files = list(stated.values())
    if row.image_mpp is None and from_files and _differ(max(from_files), min(from_files)):
        said = ", ".join(f"{role} {mpp} um/px" for role, mpp in stated.items())
        raise InputError(f"the files contradict each other: {said}; fill in the column image_mpp with the right one")
    if row.image_mpp is not None:
        others = [mpp for mpp in from_files if _differ(mpp, row.image_mpp)]
        remark = _contradiction("the samplesheet's image_mpp", row.image_mpp, "the file", others[0]) if others else ""
        return row.image_mpp, remark
    if from_files:
        other = fallbacks.image_mpp
        differs = other is not None and _differ(other, from_files[0])
        return from_files[0], _contradiction("the file", from_files[0], "--image_mpp", other or 0) if differs else ""
    if fallbacks.image_mpp is not None:
        return fallbacks.image_mpp, ""
    raise InputError(
        "the pixel size is not known: the column image_mpp is empty and the file does not say; "
        "fill in image_mpp (um per pixel) or give --image_mpp"
    )


def _differ(one: float, other: float) -> bool:
    return max(one, other) > (1 + MPP_TOLERANCE) * min(one, other)


def _contradiction(used: str, mpp: float, ignored: str, other: float) -> str:
    """Say which of two pixel sizes counts."""
    factor = max(mpp, other) / min(mpp, other)
    return (
        f"pixel size {mpp:g} um/px is used, as {used} says, but {ignored} says {other:g} (a factor of {factor:.3g}); "
        "correct the wrong one"
    )


def _settle_nuclear(row: Row, headers: Mapping[str, ImageHeader], fallbacks: Fallbacks) -> str:
    """Recipe of the nuclei over channel indices."""
    if "image" in headers:
        header = headers["image"]
        wanted = row.nuclear_channel or fallbacks.nuclear_channel or _only(header)
    else:
        header = headers["nuclear"]
        wanted = row.nuclear_channel or _only(header) or fallbacks.nuclear_channel
    return resolve_channel(wanted, header, "nuclear_channel")


def _settle_membrane(row: Row, headers: Mapping[str, ImageHeader], fallbacks: Fallbacks) -> str:
    """Recipe of the membrane over channel indices; empty for a blank one."""
    if "image" in headers:
        header = headers["image"]
        wanted = row.membrane_channel or fallbacks.membrane_channel
        if not wanted and (header.shape[0] == 1 or not fallbacks.needs_membrane):
            wanted = BLANK
        return resolve_channel(wanted, header, "membrane_channel")
    if "membrane" in headers:
        header = headers["membrane"]
        wanted = row.membrane_channel or _only(header) or fallbacks.membrane_channel
        return resolve_channel(wanted, header, "membrane_channel")
    if row.membrane_channel not in ("", BLANK):
        raise InputError(
            f"membrane_channel is {row.membrane_channel!r}, but membrane_image is empty; name the file, "
            "or put all channels into one file and name it in the column image"
        )
    return ""


def _only(header: ImageHeader) -> str:
    return "0" if header.shape[0] == 1 else ""


def resolve_channel(recipe: str, header: ImageHeader, column: str) -> str:
    """Give a recipe over indices.

    Parameters
    ----------
    recipe : over names or indices; ``none`` for a blank membrane
    header : of the file that holds the channels
    column : ``nuclear_channel`` or ``membrane_channel``, for errors

    Raises
    ------
    InputError
        If it names a channel that is not there, with those that are.
    """
    if not recipe:
        known = ", ".join(f"{i} {name}".strip() for i, name in enumerate(header.channel_names))
        blank = f", or {BLANK!r} for a blank one" if column == "membrane_channel" else ""
        raise InputError(
            f"which channel is {column}? the image has {header.shape[0]}: {known}; "
            f"fill in the column {column} or give --{column} (name, index or recipe{blank})"
        )
    if recipe == BLANK and column == "membrane_channel":
        return ""
    return resolve_recipe(recipe, header.channel_names, header.shape[0])
