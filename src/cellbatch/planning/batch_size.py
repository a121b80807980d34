"""Batch size from the fleet: set-up against parallelism and preemption."""

import math

from cellbatch.planning.cost import HOUR_S, MPX, Fleet, work_s
from cellbatch.planning.rates import FUSED, PHASES, Rates

# a run is taken to last this long: the last tasks of a fleet end at different times, and the others then wait
HORIZON_H = 1.0
# a fault of a machine's own, where no spot machine is taken back
FAULTS_PER_H = 0.01
LEAST_LOG2, MOST_LOG2 = 24, 36


def choose_batch_pixels(mode: str, fleet: Fleet, rates: Rates, disk_bytes: float) -> int:
    """Pixels per task, a power of two, from the fleet alone: another row in the samplesheet does not change it.

    Of a task that works for T seconds after S seconds of set-up, on one of G machines, the share S/T is set-up, on
    average λT/2 is lost with a machine, and T(G − 1)/2GH is spent waiting for the last task of a run of H hours. The
    sum is least at T = sqrt(2S / (λ + (G − 1)/GH)). A batch must also fit the disk, at up to twice its usual size.

    Parameters
    ----------
    mode : ``split`` or ``fused``
    fleet : where the tasks run
    rates : how fast they work
    disk_bytes : room for what one task stages in and out

    Returns
    -------
    int
        A budget as ``cut_batches`` takes it; a typical batch holds half of it.
    """
    processes = (FUSED,) if mode == FUSED else PHASES
    slowest = max(processes, key=lambda process: _s_per_mpx(process, fleet, rates))
    station = fleet.stations[slowest]
    setup_s = fleet.place.start_s + fleet.place.submit_s + rates.task_s + rates.model_load_s
    losses_per_s = max(fleet.place.losses_per_h, FAULTS_PER_H) / HOUR_S
    waiting_per_s = (station.slots - 1) / station.slots / (HORIZON_H * HOUR_S)
    best_s = math.sqrt(2 * setup_s / (losses_per_s + waiting_per_s))
    pixels = 2 * best_s / _s_per_mpx(slowest, fleet, rates) * MPX
    return int(2 ** min(max(round(math.log2(pixels)), LEAST_LOG2), fitting_log2(mode, rates, disk_bytes)))


def fitting_log2(mode: str, rates: Rates, disk_bytes: float) -> int:
    """Largest budget whose tasks fit the disk at twice its size, within the bounds of all budgets, as a power of two.

    Parameters
    ----------
    mode, rates, disk_bytes : as for ``choose_batch_pixels``

    Examples
    --------
    >>> 2 ** fitting_log2("split", Rates(), 1.1e10), 2 ** fitting_log2("fused", Rates(), 1.1e10)
    (268435456, 2147483648)
    """
    per_px = rates.results_bytes_per_px + (0 if mode == FUSED else rates.pixels_bytes_per_px + rates.heads_bytes_per_px)
    exponent = math.floor(math.log2(max(disk_bytes / per_px / 2, 1)))
    return min(max(exponent, LEAST_LOG2), MOST_LOG2)


def _s_per_mpx(process: str, fleet: Fleet, rates: Rates) -> float:
    station = fleet.stations[process]
    return work_s(process, 1.0, station, rates) - work_s(process, 0.0, station, rates)
