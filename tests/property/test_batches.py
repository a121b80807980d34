"""Cuts that the content decides: whatever changes, little is repeated."""

from hypothesis import given
from hypothesis import strategies as st

from cellbatch.planning.batches import cut_batches

BUDGET = 1000
rows = st.lists(st.tuples(st.uuids().map(str), st.integers(1, 400)), min_size=2, max_size=120, unique_by=lambda r: r[0])


def _batches(pairs):
    names, weights = [name for name, _ in pairs], [weight for _, weight in pairs]
    return [tuple(pairs[i] for i in cut) for cut in cut_batches(names, weights, BUDGET)]


@given(rows)
def test_batches_partition_the_samples(pairs):
    batches = _batches(pairs)
    assert [pair for batch in batches for pair in batch] == pairs
    assert all(batches)


@given(rows, st.data())
def test_batches_far_from_a_change_stay(pairs, data):
    """A batch whose samples, and a quarter budget around them, are untouched is the same before and after."""
    place = data.draw(st.integers(0, len(pairs) - 1))
    changed = pairs[:place] + pairs[place + 1 :]
    before, after = _batches(pairs), set(_batches(changed))
    if sum(weight for _, weight in changed) <= BUDGET:
        return
    position = 0
    for batch in before:
        start, stop = position, position + len(batch)
        position = stop
        reach_before = sum(weight for _, weight in pairs[stop:place])
        reach_behind = sum(weight for _, weight in pairs[place + 1 : start])
        is_far = (
            reach_before > BUDGET // 2 + 400 if place >= stop else place < start and reach_behind > BUDGET // 2 + 400
        )
        if is_far:
            assert batch in after
