"""Times of a processor whose pace changes."""

import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def flat_time(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import flat_time

    return flat_time


class Slide:
    """A slide whose tasks take what they are said to take."""

    def __init__(self, flat_time, pixels, spent):
        self.pixels, self._spent = pixels, [flat_time.Spent(*one) for one in spent]

    def parts(self, phase, count):
        yield from [[(phase,)]] * count if self.pixels > 16 else [[(phase,)]]

    def measure(self, tasks, commands):
        return [self._spent.pop(0)]


def test_pace_is_sampled_until_the_end(flat_time):
    with flat_time.Pace() as pace:
        time.sleep(0.5)
    assert 0.001 < pace.seconds < 1
    samples = len(pace._samples)
    assert samples >= 2
    time.sleep(0.3)
    assert len(pace._samples) == samples


def test_times_are_compared_at_one_pace(flat_time, monkeypatch):
    small = Slide(flat_time, 16, [(100.0, 1.0), (200.0, 2.0), (110.0, 1.0)])
    large = Slide(flat_time, 1024, [(60.0, 1.0), (120.0, 2.0)])
    monkeypatch.setattr(flat_time, "Tasks", lambda is_forked: None)
    row = flat_time.sum_up("infer", small, large, 2)
    assert row["tasks"] == 2
    assert (row["small_ns_px"], row["large_ns_px"]) == (110.0, 180.0)
    assert (row["paced_small_ns_px"], row["paced_large_ns_px"]) == (100.0, 120.0)
    assert (row["lowest_ns_px"], row["highest_ns_px"]) == (100.0, 110.0)
