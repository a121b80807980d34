"""What TIFF dialects say of channels and pixel size: OME-XML, ImageJ, QPTIFF, MIBI pages, resolution tags."""

from __future__ import annotations

import json
import logging
import math
import re
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

import tifffile

from cellbatch.errors import InputError
from cellbatch.io.reader import PLAUSIBLE_MPP, isotropic_mpp

logger = logging.getLogger(__name__)

UNITS_UM = {
    "µm": 1.0,
    "\u03bcm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "pm": 1e-6,
    "picometer": 1e-6,
    "Å": 1e-4,
    "\u212b": 1e-4,
    "angstrom": 1e-4,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
# Resolutions that screens, printers and scanners write by habit: they say nothing of a microscope.
HABITUAL_DPI = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 240, 300, 350, 360, 400, 600, 720, 1200, 1440, 2400, 4800)
LARGEST_TAG_MPP = 20.0


def to_um(value: float, unit: str) -> float | None:
    """Length in µm; ``None`` where the unit is no length (pixel, reference frame, empty)."""
    factor = UNITS_UM.get(unit.strip().replace("\\u00B5", "µ"))
    if factor is None or not math.isfinite(value) or value <= 0:
        return None
    return value * factor


def stated_um(name: str, what: str, value: float, unit: str) -> float | None:
    """Length in µm that a file states; with a warning, ``None`` for one that is no size at all."""
    size = to_um(value, unit)
    if size is None:
        logger.warning(
            "%s: its %s of %g %s is no size and is taken as not stated", name, what, value, unit or "without a unit"
        )
    return size


def plausible_mpp(name: str, mpp: float | None) -> float | None:
    """Keep the pixel size, or give ``None`` and a warning where no light or ion microscope has such pixels."""
    if mpp is None:
        return None
    if not PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1]:
        logger.warning(
            "%s: its pixel size of %g µm is implausible (expected %g to %g) and is taken as not stated",
            name,
            mpp,
            *PLAUSIBLE_MPP,
        )
        return None
    # Sizes travel through binary fractions and unit changes: nine digits keep 0.65 as 0.65.
    return float(f"{mpp:.9g}")


class OmeImage:
    """The first image of an OME-XML header.

    Parameters
    ----------
    name : file name for messages
    xml : the header

    Raises
    ------
    InputError
        if the header is not XML, carries entity declarations, or points to other files
    """

    def __init__(self, name: str, xml: str) -> None:
        """Parse the header; entities are refused because expanding them can fill any memory."""
        if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
            raise InputError(f"{name}: its OME-XML declares entities; write the header without them")
        try:
            root = ElementTree.fromstring(xml)
        except ElementTree.ParseError as error:
            raise InputError(f"{name}: its OME-XML cannot be read ({error}); write the file again") from error
        self._root = root
        self._name = name
        self.images = [node for node in root if _tag(node) == "Image"]
        self._check_single_file()
        pixels = [child for image in self.images[:1] for child in image if _tag(child) == "Pixels"]
        if not pixels:
            raise InputError(f"{name}: its OME-XML describes no image; write the file again")
        self.pixels = pixels[0]

    def _check_single_file(self) -> None:
        """Refuse data sets that are spread over several files: only one of them is staged."""
        own = self._root.attrib.get("UUID")
        others = {node.text for node in self._root.iter() if _tag(node) == "UUID"} - {own}
        spread = any(_tag(node) == "BinaryOnly" for node in self._root)
        if spread or (others and (own is not None or len(others) > 1)):
            raise InputError(
                f"{self._name}: this OME-TIFF is one part of a data set in several files; "
                "join them into one OME-TIFF (bfconvert) or give each as an image of its own without the OME header"
            )

    @property
    def planes(self) -> int:
        """Number of planes that the header claims (C x Z x T)."""
        return math.prod(int(self.pixels.attrib.get("Size" + axis, 1)) for axis in "CZT")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names in channel order, empty where there is none; a name stands for each of its samples."""
        names: list[str] = []
        for node in self.pixels:
            if _tag(node) == "Channel":
                samples = int(node.attrib.get("SamplesPerPixel", 1))
                names.extend([node.attrib.get("Name", "").strip()] * samples)
        return tuple(names)

    @property
    def states_size(self) -> bool:
        """Whether the header gives a pixel size at all, a plausible one or not."""
        return "PhysicalSizeX" in self.pixels.attrib or "PhysicalSizeY" in self.pixels.attrib

    @property
    def image_mpp(self) -> float | None:
        """µm per px from PhysicalSizeX and PhysicalSizeY; ``None`` where either is absent."""
        sizes = []
        for axis in "YX":
            text = self.pixels.attrib.get(f"PhysicalSize{axis}", "")
            unit = self.pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm")
            try:
                sizes.append(stated_um(self._name, f"PhysicalSize{axis}", float(text), unit) if text else None)
            except ValueError:
                raise InputError(
                    f"{self._name}: PhysicalSize{axis} is {text!r}, expected a number; correct the OME header"
                ) from None
        stated = [axis for axis in "XY" if self.pixels.attrib.get(f"PhysicalSize{axis}")]
        if len(stated) == 1:
            logger.warning(
                "%s: it states PhysicalSize%s only; its pixel size is taken as not stated", self._name, stated[0]
            )
        return plausible_mpp(self._name, isotropic_mpp(self._name, sizes[0], sizes[1]))


def _tag(node: ElementTree.Element) -> str:
    """Element name without its namespace."""
    return node.tag.rsplit("}", 1)[-1] if isinstance(node.tag, str) else ""


def resolution_mpp(name: str, page: tifffile.TiffPage, imagej: dict[str, Any] | None) -> float | None:
    """µm per px from XResolution and YResolution where their unit is a real one.

    Centimetres and inches count unless the value is a habitual dpi figure (72, 96, 300, ...), 1, or gives pixels
    above 20 µm; ImageJ names its unit in the description.

    Parameters
    ----------
    name : file name for messages
    page : first page
    imagej : ImageJ's metadata, if the file is one of its own

    Returns
    -------
    float or None
        µm per px

    Raises
    ------
    InputError
        if the pixels are not square
    """
    sizes = [_resolution(page, tag) for tag in ("YResolution", "XResolution")]
    if sizes[0] is None or sizes[1] is None:
        return None
    per_unit_y, per_unit_x = sizes[0], sizes[1]
    unit = str((imagej or {}).get("unit", "")).strip()
    if unit:
        mpp = isotropic_mpp(name, to_um(1 / per_unit_y, unit), to_um(1 / per_unit_x, unit))
        return plausible_mpp(name, mpp)
    tag = page.tags.get("ResolutionUnit")
    unit_um = {2: 25400.0, 3: 10000.0}.get(tag.value if tag is not None and isinstance(tag.value, int) else 0)
    if unit_um is None:
        return None
    dpi = per_unit_x * 25400.0 / unit_um
    if any(abs(dpi - habit) <= 2e-3 * habit for habit in HABITUAL_DPI) or unit_um / per_unit_x > LARGEST_TAG_MPP:
        return None
    return plausible_mpp(name, isotropic_mpp(name, unit_um / per_unit_y, unit_um / per_unit_x))


def _resolution(page: tifffile.TiffPage, tag: str) -> float | None:
    """Pixels per unit, or ``None`` where the tag is absent or not positive."""
    value = page.tags.get(tag)
    if value is None or not isinstance(value.value, tuple) or len(value.value) != 2:
        return None
    numerator, denominator = value.value
    return numerator / denominator if numerator > 0 and denominator > 0 else None


def page_channel_name(page: tifffile.TiffPage) -> str:
    """Channel name that a page carries itself: QPTIFF's XML, MIBI's JSON, or the PageName tag."""
    text = page.description.strip()
    if text.startswith("<") and "PerkinElmer-QPI" in text:
        match = re.search(r"<Name>([^<]*)</Name>", text)
        return unescape(match.group(1)).strip() if match else ""
    if text.startswith("{"):
        try:
            record = json.loads(text)
        except ValueError:
            record = {}
        if isinstance(record, dict) and isinstance(record.get("channel.target"), str):
            return str(record["channel.target"]).strip()
    tag = page.tags.get("PageName")
    return str(tag.value).strip() if tag is not None else ""


def imagej_channel_names(imagej: dict[str, Any], count: int) -> tuple[str, ...]:
    """ImageJ's slice labels where there is one per channel; else no names."""
    labels = imagej.get("Labels")
    if not isinstance(labels, list) or len(labels) != count:
        return ("",) * count
    return tuple(str(label).strip() for label in labels)
