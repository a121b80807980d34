"""Packing samples into batches by pixels, with cuts that the content decides.

A cut depends only on the samples near it, so adding, removing or repairing one row leaves all batches but its
neighbours as they were, and a resumed run repeats little.
"""

import hashlib
from collections.abc import Sequence
from itertools import accumulate, pairwise

MINIMUM_WEIGHT_PX = 256 * 256
BATCH_ID_DIGITS = 10


def weigh(pixels: int) -> int:
    """Pixels of work of one image: no image costs less than one tile of the network."""
    return max(pixels, MINIMUM_WEIGHT_PX)


def cut_batches(names: Sequence[str], weights_px: Sequence[int], batch_pixels: int) -> list[range]:
    """Cut a list of samples into batches of about ``batch_pixels`` pixels at most.

    A batch ends behind a sample whose hash is the smallest among all samples within a quarter of the budget
    before and behind it. No two cuts are closer than that, and each depends on nothing farther away. A list that
    fits the budget is one batch.

    Parameters
    ----------
    names : sample names, in the samplesheet's order
    weights_px : pixels of work per sample, at least 1
    batch_pixels : the budget; a typical batch holds half of it, a rare one up to twice of it, more only when a
        single sample does

    Returns
    -------
    list of range
        Positions of each batch's samples; together they cover the list in order.

    Raises
    ------
    ValueError
        If the lists differ in length or the budget is not positive.

    References
    ----------
    Local-maximum chunking: Bjørner, Blass, Gurevich, "Content-dependent chunking for differential compression, the
    local maximum approach", J. Comput. Syst. Sci. 76 (2010).

    Examples
    --------
    >>> cut_batches(["a", "b", "c"], [5, 5, 5], 15)
    [range(0, 3)]
    """
    if len(names) != len(weights_px):
        raise ValueError(f"{len(names)} names but {len(weights_px)} weights")
    if batch_pixels < 1:
        raise ValueError(f"batch_pixels must be at least 1, found {batch_pixels}")
    ends_px = list(accumulate(weights_px))
    if not names:
        return []
    if ends_px[-1] <= batch_pixels:
        return [range(len(names))]
    ranks = [_hash(name) for name in names]
    reach_px = batch_pixels // 4
    cuts = [i + 1 for i in range(len(names) - 1) if _is_cut(i, ranks, ends_px, reach_px)]
    return [range(start, stop) for start, stop in pairwise([0, *cuts, len(names)])]


def name_batch(names: Sequence[str]) -> str:
    """Name a batch by its samples' names alone, so that it never depends on other batches."""
    return "b" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:BATCH_ID_DIGITS]


def is_on_cpu(batch: str, share: float) -> bool:
    """Tell whether a batch is one of the share that machines without GPU infer, by its name alone.

    Another share moves only the batches between the two, and another row only its own.

    Examples
    --------
    >>> [is_on_cpu("b0123456789", share) for share in (0, 0.2, 0.9, 1)]
    [False, False, True, True]
    """
    return _hash(batch) < share * 2**64


def spread(count: int, wanted: int) -> list[int]:
    """Choose some of ``count`` numbers from 0, evenly, the first and the last among them.

    Examples
    --------
    >>> spread(10, 4), spread(2, 4), spread(9, 1)
    ([0, 3, 6, 9], [0, 1], [0])
    """
    if wanted >= count:
        return list(range(count))
    return [0] if wanted == 1 else [round(i * (count - 1) / (wanted - 1)) for i in range(wanted)]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _is_cut(i: int, ranks: Sequence[int], ends_px: Sequence[int], reach_px: int) -> bool:
    """Whether sample ``i`` has the smallest rank among all whose end lies within ``reach_px`` of its own."""
    j = i - 1
    while j >= 0 and ends_px[i] - ends_px[j] < reach_px:
        if ranks[j] < ranks[i]:
            return False
        j -= 1
    j = i + 1
    while j < len(ranks) - 1 and ends_px[j] - ends_px[i] < reach_px:
        if ranks[j] < ranks[i]:
            return False
        j += 1
    return True
