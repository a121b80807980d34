"""Published runs and a million images, as the simulator sees them; every number with its source.

Sources: the founding post ("Running DeepCell on Google Batch with node pools", June 2024); the Kiosk paper (Bannon et
al., Nature Methods 18, 2021) with its supplement; Google's price lists of 2019. *fitted* marks the one number that was
chosen to meet a row, *assumed* what no source gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cellbatch.planning.cost import HOUR_S, MPX, Fleet, task_s, work_s
from cellbatch.planning.rates import FUSED, Rates
from cellbatch.planning.simulation import Job, Outcome, Pool, Run

# --- the founding post: 15 samples of 512² px, one job each, on 4 GPUs
FOUNDING_JOBS, FOUNDING_GPUS = 15, 4
FOUNDING_MEASURED_MIN = {"one job each": 32.5, "cold pool": 7.5, "warm pool": 2.5}
# published: set-up of a job takes about 3 min, its task less than 30 s
FOUNDING_IMAGE_S, FOUNDING_TASK_S = 180.0, 30.0
# assumed: submitting by script
FOUNDING_SUBMIT_S = 3.0


def fit_acquire_s(measured_min: float = FOUNDING_MEASURED_MIN["one job each"]) -> float:
    """Find the time until a GPU machine runs, by bisection on the row with one job each.

    The one *fitted* number. *Assumed*: a machine's quota returns as long after its end as it took to get the machine.
    """
    low, high = 0.0, 3600.0
    while high - low > 0.01:
        middle = (low + high) / 2
        slow = founding_min("one job each", middle) > measured_min
        low, high = (low, middle) if slow else (middle, high)
    return (low + high) / 2


def founding_min(row: str, acquire_s: float) -> float:
    """Minutes end to end of one row of the post: ``one job each``, ``cold pool`` or ``warm pool``."""
    single = Pool(FOUNDING_GPUS, acquire_s, FOUNDING_IMAGE_S, release_s=acquire_s)
    pools = {
        "one job each": single,
        "cold pool": replace(single, keeps=True),
        "warm pool": replace(single, keeps=True, warm=True),
    }
    job = Job("gpu", FOUNDING_TASK_S, FOUNDING_TASK_S)
    return Run({"gpu": pools[row]}, FOUNDING_SUBMIT_S).simulate([[job]] * FOUNDING_JOBS).end_s / 60


def saving_min(setup_min: float, jobs: int, parallel: int) -> float:
    """Minutes that a pool saves by the post's formula: set-up · (⌈jobs / parallel⌉ − 1).

    Examples
    --------
    >>> 12 - saving_min(11 / 6, 15, 4)  # set-up of 3 min: 61 %, which the post rounds to 60
    6.5
    """
    return setup_min * (math.ceil(jobs / parallel) - 1)


def preload_saving_min(jobs: int = 11, saved_s: float = 13.0, parallel: int = FOUNDING_GPUS) -> tuple[float, float]:
    """Minutes of machines and of waiting saved by a model that is loaded beforehand.

    Examples
    --------
    >>> [round(value, 1) for value in preload_saving_min()]
    [2.4, 0.6]
    """
    return jobs * saved_s / 60, jobs * saved_s / parallel / 60


# --- the Kiosk
@dataclass(frozen=True)
class Kiosk:
    """A cluster of the Kiosk; 2019 prices in dollars.

    Attributes
    ----------
    images_per_s : per GPU (published: 5 to 10)
    image_mb, result_mb : 1 Mpx in 8 bits as PNG or TIFF; labels back to the user (assumed)
    gpu_hour : V100 on demand with its machine (list of 2019: 2.48 and an n1-highmem-2 of 0.118)
    cpu_nodes_per_gpu : consumers, queue, storage of messages (assumed)
    cpu_hour : n1-standard-4 (list of 2019)
    node_start_s : a GPU node of the cluster (assumed)
    target_s : queued work per GPU at which another is wanted (assumed)
    """

    images_per_s: float = 7.5
    image_mb: float = 1.0
    result_mb: float = 1.0
    gpu_hour: float = 2.6
    cpu_nodes_per_gpu: float = 1.0
    cpu_hour: float = 0.19
    node_start_s: float = 300.0
    target_s: float = 60.0
    egress_gb: float = 0.12
    operation: float = 5e-6
    operations_per_image: int = 4


@dataclass(frozen=True)
class KioskRun:
    """Hours, and dollars split as the paper splits them."""

    hours: float
    network_and_data: float
    gpu_nodes: float
    cpu_nodes: float

    @property
    def dollars(self) -> float:
        """All of it."""
        return self.network_and_data + self.gpu_nodes + self.cpu_nodes


def recommended_gpus(mbps: float, kiosk: Kiosk) -> int:
    """GPUs that keep up with the upload: d = N · s, the data rate d in images/s, s of one GPU.

    Examples
    --------
    >>> recommended_gpus(240, Kiosk()), recommended_gpus(2400, Kiosk())
    (4, 40)
    """
    return max(1, math.ceil(mbps / 8 / kiosk.image_mb / kiosk.images_per_s))


def simulate_kiosk(images: int, gpus: int, mbps: float, kiosk: Kiosk, step_s: float = 10.0) -> KioskRun:
    """Let images arrive by upload, scale nodes from 0 to ``gpus`` by the queued work, and process, in steps."""
    arriving = mbps / 8 / kiosk.image_mb * step_s
    queued = done = uploaded = now_s = gpu_s = cpu_s = 0.0
    starting: list[float] = []
    nodes = 0
    while done < images - 1e-6:
        uploaded_now = min(arriving, images - uploaded)
        uploaded, queued = uploaded + uploaded_now, queued + uploaded_now
        wanted = min(gpus, math.ceil(queued / (kiosk.images_per_s * kiosk.target_s)))
        starting += [now_s + kiosk.node_start_s] * max(0, wanted - nodes - len(starting))
        nodes += sum(ready <= now_s for ready in starting)
        starting = [ready for ready in starting if ready > now_s]
        processed = min(queued, nodes * kiosk.images_per_s * step_s)
        queued, done = queued - processed, done + processed
        gpu_s += (nodes + len(starting)) * step_s
        cpu_s += max(1, (nodes + len(starting)) * kiosk.cpu_nodes_per_gpu) * step_s
        now_s += step_s
    data = images * (kiosk.result_mb / 1000 * kiosk.egress_gb + kiosk.operations_per_image * kiosk.operation)
    return KioskRun(now_s / HOUR_S, data, gpu_s / HOUR_S * kiosk.gpu_hour, cpu_s / HOUR_S * kiosk.cpu_hour)


# --- ours
def fused_chains(
    pixels: Sequence[float], image_bytes_per_px: float, fleet: Fleet, rates: Rates, on_cpu: Sequence[bool] = ()
) -> list[list[Job]]:
    """One fused task per batch, staging in its time, only the phases' own seconds as work.

    ``on_cpu`` says of each batch whether it goes to ``fleet.cpu_side``.
    """
    chains = []
    for size, is_beside in zip(pixels, on_cpu or [False] * len(pixels), strict=True):
        lane = fleet.without_gpus if is_beside else fleet
        station = lane.stations[FUSED]
        useful = work_s(FUSED, size / MPX, station, rates) - work_s(FUSED, 0.0, station, rates)
        whole_s = task_s(FUSED, size, size * image_bytes_per_px, lane, rates)
        chains.append([Job("cpu" if is_beside else "gpu", whole_s, useful)])
    return chains


def simulate_fused(
    chains: list[list[Job]],
    fleet: Fleet,
    samples: int,
    published_files: int,
    rates: Rates,
    seed: int = 0,
    is_array: bool = False,
) -> tuple[Outcome, float, float]:
    """Run fused tasks on the fleet's GPU machines, and those of ``cpu_side`` beside them.

    Parameters
    ----------
    chains : of ``fused_chains``
    fleet, rates : where, how fast
    samples : images whose headers the plan reads
    published_files : copied into the results at the end
    seed : of the losses
    is_array : all tasks are one job array. It is submitted when the head has prepared the last of them, and its
        machines stay from task to task (assumed)

    Returns
    -------
    outcome : of the simulated tasks
    hours : end to end, with plan, model, report and publishing
    dollars : machines with their disks, and the head
    """
    station, place = fleet.stations[FUSED], fleet.place
    disk_hour = fleet.disk_gb * fleet.disk_gb_month / 730
    sides = {"gpu": station} | ({"cpu": fleet.cpu_side} if fleet.cpu_side else {})
    pools = {
        name: Pool(s.slots, place.start_s, losses_per_h=place.losses_per_h, hour=s.hour + disk_hour, keeps=is_array)
        for name, s in sides.items()
    }
    arrivals_s = [place.submit_s * len(chains)] * len(chains) if is_array else None
    outcome = Run(pools, 0.0 if is_array else place.submit_s, seed).simulate(chains, arrivals_s)
    ends_s = 2 * place.start_s + place.plan_s(samples, rates) + rates.report_s
    ends_s += published_files / place.publish_files_per_s
    hours = (outcome.end_s + ends_s) / HOUR_S
    return outcome, hours, outcome.dollars(pools) + hours * fleet.head_hour
