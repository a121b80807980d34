"""How long work takes: measured, published or assumed, each constant with its source.

Measured: the ``timings.csv`` of plain runs over 16 drawn images of 1024² px (``training/draw_tissue.py --count 16
--size 1024 --seed 3``) on two hyperthreads of an idle Intel Xeon, medians of three, 22 November 2026. A larger image
takes more of the post-processing (0.35 s at 16384²), which then works by blocks, and less of the measurement (0.28 s),
whose pictures have one size.
Published: the DeepCell Kiosk paper (Bannon et al., Nature Methods 18, 2021) and its supplement; Nextflow's issue 6846.
"""

from dataclasses import dataclass, replace

PHASES = ("preprocess", "infer", "postprocess", "measure")
PROCESS_NAMES = {
    "preprocess": "PREPROCESS_IMAGES",
    "infer": "INFER_TILES",
    "postprocess": "POSTPROCESS_LABELS",
    "measure": "MEASURE_CELLS",
    "fused": "SEGMENT_BATCH",
}
FUSED = "fused"
# of the same work on machines without GPU, which run beside those with one
CPU_SUFFIX = "_CPU"
# of images of 1024² px, on which the network's rates were measured; small ones have more, because tiles have one size
TILES_PER_MPX = 24
# of networks whose speed on a CPU was measured; 2 · 0.179 s for each tile
DEMO_WEIGHTS_BYTES, MESMER_WEIGHTS_BYTES, MESMER_CORE_S_PER_MPX = 4_000_000, 104_000_000, 8.6


@dataclass(frozen=True)
class Rates:
    """Seconds and bytes of one unit of work.

    Attributes
    ----------
    core_s_per_mpx : CPU seconds per megapixel at the model's pixel size, by phase, the network apart
    network_core_s_per_mpx : the network on a CPU (measured, demo model); see ``of_weights`` for larger ones
    gpu_mpx_per_s : the network on a GPU; the middle of the 5 to 10 images of 1 Mpx per second that the Kiosk paper
        states for networks of this kind (published)
    task_s : a task's start, its imports and worker processes (measured)
    model_load_s : loading and warming the network (measured, demo model)
    pixels_bytes_per_px, heads_bytes_per_px : hand-offs, per pixel at the model's pixel size (measured)
    results_bytes_per_px : labels, tables and overlays (measured)
    packed_bytes_per_px : results by batch, without overlays (measured: labels 0.15, plain tables 0.08; doubled here for
        tables with shapes)
    header_s : one header in the plan, on one processor (measured: OME-TIFF of two channels, 1.0 to 1.3 ms)
    sample_s : all else that the plan does for an image, on one processor at all (measured: a million, without headers)
    """

    core_s_per_mpx: tuple[float, float, float, float] = (0.09, 0.18, 0.14, 0.62)
    network_core_s_per_mpx: float = 0.69
    gpu_mpx_per_s: float = 7.5
    task_s: float = 2.0
    model_load_s: float = 0.1
    pixels_bytes_per_px: float = 1.6
    heads_bytes_per_px: float = 16.0
    results_bytes_per_px: float = 2.5
    packed_bytes_per_px: float = 0.5
    plan_s: float = 7.0
    header_s: float = 0.0011
    sample_s: float = 0.0003
    report_s: float = 6.0

    @property
    def packed(self) -> "Rates":
        """The same with results by batch."""
        return replace(self, results_bytes_per_px=self.packed_bytes_per_px)

    def of_weights(self, weights_bytes: int) -> "Rates":
        """Give the same for a network of so many bytes, on a line between two measured ones.

        These are the demo model and one of Mesmer's size and form (0.179 s per tile of 256² px on two hyperthreads,
        docs/benchmarks.md).

        Examples
        --------
        >>> Rates().of_weights(2_600_000).network_core_s_per_mpx, Rates().of_weights(104_000_000).network_core_s_per_mpx
        (0.69, 8.6)
        """
        share = max(0, weights_bytes - DEMO_WEIGHTS_BYTES) / (MESMER_WEIGHTS_BYTES - DEMO_WEIGHTS_BYTES)
        core_s = self.network_core_s_per_mpx + share * (MESMER_CORE_S_PER_MPX - self.network_core_s_per_mpx)
        return replace(self, network_core_s_per_mpx=round(core_s, 4))

    def core_s(self, phase: str) -> float:
        """CPU seconds per megapixel of one phase without the network."""
        return self.core_s_per_mpx[PHASES.index(phase)]


@dataclass(frozen=True)
class Place:
    """What a place adds to the work itself.

    Attributes
    ----------
    submit_s : between two submissions of Nextflow, which are serial (published: about 3 s on Google Batch)
    start_s : from submission until the task's container runs: machine, driver, image (published: 2 to 3 min)
    transfer_bytes_per_s : staging in and out of one task (assumed; a local disk is not counted)
    publish_files_per_s : files copied into the results (assumed)
    losses_per_h : machines taken back, per machine and hour (assumed; 0 on machines on demand)
    plan_processes : that read headers. Each reads many at once, so that a bucket's wait (0.15 s are assumed) hides
        behind the processor's work
    """

    submit_s: float = 0.1
    start_s: float = 0.5
    transfer_bytes_per_s: float = float("inf")
    publish_files_per_s: float = 200.0
    losses_per_h: float = 0.0
    plan_processes: int = 2

    def plan_s(self, samples: int, rates: Rates) -> float:
        """Seconds from the start of the plan to its end.

        Examples
        --------
        >>> round(LOCAL.plan_s(2000, Rates()), 1), round(GOOGLE_SPOT.plan_s(1_000_000, Rates()))
        (8.7, 444)
        """
        return rates.plan_s + samples * (rates.sample_s + rates.header_s / self.plan_processes)


LOCAL = Place()
GOOGLE_ON_DEMAND = Place(
    submit_s=3.0, start_s=150.0, transfer_bytes_per_s=1e8, publish_files_per_s=20.0, plan_processes=8
)
GOOGLE_SPOT = replace(GOOGLE_ON_DEMAND, losses_per_h=0.05)
