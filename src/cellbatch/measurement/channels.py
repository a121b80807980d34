"""Which channels of an image are measured."""

from __future__ import annotations

from collections.abc import Sequence


def select_channels(wanted: Sequence[str], channel_names: Sequence[str]) -> list[int]:
    """Positions of the channels that are measured, in the order asked for; all where none is named.

    Parameters
    ----------
    wanted : names, or 0-based positions where no channel has that name
    channel_names : names in channel order, empty where there is none

    Raises
    ------
    ValueError
        A channel does not exist, or is named twice.

    Examples
    --------
    >>> select_channels(["CD8", "0"], ["DAPI", "CD4", "CD8"])
    [2, 0]
    """
    if not wanted:
        return list(range(len(channel_names)))
    positions = []
    for name in wanted:
        found = [position for position, known in enumerate(channel_names) if known and known == name]
        if not found and name.isascii() and name.isdigit() and int(name) < len(channel_names):
            found = [int(name)]
        if len(found) != 1 or found[0] in positions:
            fault = "is there more than once" if found else "is not there"
            known = ", ".join(f"{position} {known}".strip() for position, known in enumerate(channel_names))
            raise ValueError(f"channel {name!r} to be measured {fault}; channels are {known}")
        positions += found
    return positions
