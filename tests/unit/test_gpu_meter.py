"""The GPU's busy share, from a stand-in for NVIDIA's management library."""

import sys
import time
from types import SimpleNamespace

import pytest

from cellbatch.inference.gpu_meter import GpuMeter, Mark, open_gpu_meter
from cellbatch.phases.machine import describe_machine
from cellbatch.reporting.plots import plot_time
from cellbatch.reporting.timing_tables import gpu_busy_share, table_timings
from cellbatch.reporting.timings import OVERLAPPED, Timings


class Gauge:
    """Says what it is told to, then fails."""

    name = "Test GPU"

    def __init__(self, *shares: float) -> None:
        self.shares = list(shares)

    def busy(self) -> float:
        if not self.shares:
            raise RuntimeError("GPU is lost")
        return self.shares.pop(0)


class Nvml(SimpleNamespace):
    """The few functions of pynvml that are used, for two devices."""

    def __init__(self, **others: object) -> None:
        super().__init__(
            nvmlInit=lambda: None,
            nvmlDeviceGetHandleByIndex=lambda index: ("index", index),
            nvmlDeviceGetHandleByUUID=lambda name: ("uuid", name),
            nvmlDeviceGetName=lambda handle: f"GPU {handle}".encode(),
            nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=75, memory=3),
        )
        self.__dict__.update(others)


def wait_for(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_the_share_is_that_since_the_mark(caplog):
    meter = GpuMeter(Gauge(0.0, 0.5, 1.0), period_s=0.001)
    wait_for(lambda: "is no longer recorded" in caplog.text)
    assert meter.busy_since(Mark(0, 0.0)) == 0.5
    assert meter.busy_since(Mark(1, 0.0)) == 0.75
    assert meter.busy_since(meter.mark()) is None
    assert "GPU is lost" in caplog.text


def test_a_stopped_meter_asks_no_more():
    gauge = Gauge(*[1.0] * 1000)
    meter = GpuMeter(gauge, period_s=0.001)
    wait_for(lambda: meter.mark().count > 2)
    meter.stop()
    time.sleep(0.02)
    left = len(gauge.shares)
    time.sleep(0.02)
    assert len(gauge.shares) == left > 0


@pytest.mark.parametrize(
    ("visible", "name"),
    [("", "GPU ('index', 0)"), ("1,0", "GPU ('index', 1)"), ("GPU-ab,GPU-cd", "GPU ('uuid', 'GPU-ab')")],
)
def test_the_first_visible_device_is_asked(monkeypatch, visible, name):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    meter = open_gpu_meter("gpu", period_s=0.001)
    assert meter.name == name
    assert describe_machine("gpu", meter) == name
    wait_for(lambda: meter.busy_since(Mark(0, 0.0)) == 0.75)
    meter.stop()


def refuse():
    raise RuntimeError("NVML Shared Library Not Found")


def test_without_library_or_device_nothing_is_recorded(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    assert open_gpu_meter("cpu") is None
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(nvmlInit=refuse))
    assert open_gpu_meter("gpu") is None
    assert "NVML Shared Library Not Found" in caplog.text
    # an entry of None makes the import fail
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gpu_meter("gpu") is None


def test_timings_and_report_have_the_share():
    timings = Timings("infer", "b")
    timings.machine = "NVIDIA L4"
    timings.add("a", "network", 1.0, gpu_busy=0.5)
    timings.add("b", "network", 3.0, gpu_busy=0.9)
    timings.add("b", "tiles", 1.0)
    table = table_timings(timings)
    assert table["gpu_busy"].tolist()[:2] == [0.5, 0.9]
    assert gpu_busy_share(table) == pytest.approx(0.8)
    assert "NVIDIA L4: at work for 80% of the time" in plot_time(table)["description"]
    timings.add("", OVERLAPPED, 5.0, gpu_busy=0.7)
    assert gpu_busy_share(table_timings(timings)) == pytest.approx(0.7)
    assert gpu_busy_share(table_timings(Timings("infer"))) is None
