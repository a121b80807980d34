"""Bytes that travel between phases."""

from collections.abc import Iterable

HEAD_BYTES_PER_PX = 4


def handoff_bytes(model_pixels: Iterable[int], channels: int, heads: int) -> dict[str, int]:
    """Volume of the two hand-offs before compression.

    Parameters
    ----------
    model_pixels : pixels of each sample at ``model_mpp``
    channels : channels of the network's input, one byte each
    heads : maps per pixel that leave the network, float32 each
    """
    pixels = sum(model_pixels)
    return {"pixels": pixels * channels, "heads": pixels * heads * HEAD_BYTES_PER_PX}
