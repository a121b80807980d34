"""The simulator against its sources, the Kiosk beside ours, and a million images: tables, and the pictures of the docs.

python benchmarks/simulate.py --outdir simulated             tables as CSV
python benchmarks/simulate.py --outdir simulated --pictures docs/pictures     (needs requirements/plots.txt)
"""

import argparse
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
from results import Results, add_csv_option

from cellbatch.phases.plan_money import Setting, read_setting
from cellbatch.planning.batch_size import choose_batch_pixels
from cellbatch.planning.batches import cut_batches, is_on_cpu, name_batch
from cellbatch.planning.cost import FUSED, Fleet, Workload, estimate
from cellbatch.planning.machines import read_prices
from cellbatch.planning.rates import MESMER_WEIGHTS_BYTES, Rates
from cellbatch.planning.scenarios import (
    FOUNDING_MEASURED_MIN,
    Kiosk,
    fit_acquire_s,
    founding_min,
    fused_chains,
    preload_saving_min,
    recommended_gpus,
    saving_min,
    simulate_fused,
    simulate_kiosk,
)

ROOT = Path(__file__).resolve().parents[1]
IMAGES, PX, GPUS, MACHINE = 10**6, 10**6, 16, "g2-standard-16"
# what machines without GPU infer beside the GPUs, on which machines, and how many of these at a time
CPU_SHARE, CPU_MACHINE, CPU_TASKS = 0.4, "n2d-standard-32", 64
# two channels of 8 bits, stored without compression (assumed)
IMAGE_BYTES_PER_PX = 2.0
SEEDS = 20
# where machines stay from task to task, smaller tasks lose less and end more evenly
ARRAY_PIXELS = 2**32
# as --batch_pixels auto chooses with a share: what suits the slower of both kinds of machines
SHARED_PIXELS = 2**33
MILLION = ("changed", "to", "gpus", "tasks", "lost", "hours", "most_hours", "dollars")


def read_fleet(
    gpus: int = GPUS, machine: str = MACHINE, spot: bool = True, share: float = 0.0, cpu_machine: str = CPU_MACHINE
) -> Setting:
    """Fleet, rates of a network of Mesmer's size and room on disk of the profile gcb with so many GPUs."""
    table = json.loads((ROOT / "assets/prices.json").read_text(encoding="utf-8"))
    return read_setting(
        {"place": "google", "gcp_spot": spot, "gcp_cpu_machine": "n2d-standard", "gcp_gpu_machine": machine}
        | {"gcp_gpu_type": "nvidia-l4", "gcp_max_gpus": gpus, "gcp_boot_disk": "50 GB"}
        | {"gcp_cpu_share": share, "gcp_cpu_share_machine": cpu_machine, "gcp_cpu_share_tasks": CPU_TASKS},
        read_prices(table),
        MESMER_WEIGHTS_BYTES,
    )


@cache
def cut_million(batch_pixels: int) -> list[tuple[int, str]]:
    """Pixels and names of the batches that the plan would cut, the largest first, as the plan submits them."""
    names = [f"folder_{i // 1000:03}_field_{i % 1000:03}" for i in range(IMAGES)]
    cuts = cut_batches(names, [PX] * IMAGES, batch_pixels)
    batches = [(len(cut) * PX, name_batch(names[cut.start : cut.stop])) for cut in cuts]
    return sorted(batches, key=lambda batch: -batch[0])


def run_million(
    fleet: Fleet, rates: Rates, batch_pixels: int, is_array: bool = False, share: float = 0.0
) -> dict[str, float]:
    """Run a million images of 1 Mpx in fused tasks: medians over seeds, and the longest run, storage included."""
    pixels = [size for size, _ in cut_million(batch_pixels)]
    on_cpu = [is_on_cpu(name, share) for _, name in cut_million(batch_pixels)]
    count = len(pixels)
    planned = estimate(FUSED, Workload(pixels, IMAGES, IMAGES * PX * 2.0, 4 * count, (), on_cpu), fleet, rates)
    storage = planned.dollars_by["bucket"] + planned.dollars_by["operations"]
    # images and results stay in the bucket for a day
    kept = IMAGES * PX * (rates.results_bytes_per_px + IMAGE_BYTES_PER_PX) / 1e9 * fleet.bucket_gb_month / 30
    runs = []
    for seed in range(SEEDS):
        chains = fused_chains(pixels, IMAGE_BYTES_PER_PX, fleet, rates, on_cpu)
        outcome, hours, dollars = simulate_fused(chains, fleet, IMAGES, 4 * count, rates, seed, is_array)
        station = fleet.stations[FUSED]
        seen = sum(size for size, is_beside in zip(pixels, on_cpu, strict=True) if not is_beside)
        idle = 1 - seen / 1e6 / rates.gpu_mpx_per_s / outcome.held_s["gpu"] if seen else float("nan")
        setup = 1 - sum(outcome.work_s.values()) / sum(outcome.held_s.values())
        runs.append(
            {"tasks": count, "lost": outcome.lost, "hours": hours, "dollars": dollars + storage + kept}
            | {"machines and head": dollars, "a day of bucket": kept, "set-up share": setup, "GPU idle share": idle}
            | {
                "planned hours": planned.hours,
                "planned dollars": planned.dollars + kept,
                "gpus": station.slots * bool(seen),
            }
        )
    table = pd.DataFrame(runs)
    return {**table.median().to_dict(), "most_hours": table["hours"].max()}


def founding_table() -> pd.DataFrame:
    """Give the post's rows: the first fitted, the others predicted."""
    acquire_s = fit_acquire_s()
    rows = []
    for row, measured in FOUNDING_MEASURED_MIN.items():
        found = founding_min(row, acquire_s)
        kind = "fitted" if row == "one job each" else "predicted"
        rows.append((row, kind, measured, round(found, 2), f"{found / measured - 1:+.0%}"))
    rows.append(("12 min less the formula's saving", "formula", 6.5, round(12 - saving_min(11 / 6, 15, 4), 2), "+0%"))
    for name, value, measured in zip(
        ("machine min saved by preloading", "min saved by preloading"), preload_saving_min(), (2.4, 0.6), strict=True
    ):
        rows.append((name, "formula", measured, round(value, 1), "+0%"))
    return pd.DataFrame(rows, columns=["row", "kind", "published_min", "simulated_min", "difference"])


def kiosk_table() -> pd.DataFrame:
    """Simulate the Kiosk's matrix at 5, 7.5 and 10 images per second and GPU."""
    rows = []
    for mbps in (240, 2400):
        for images in (10**4, 10**5, 10**6):
            for gpus in sorted({1, 4, 8, recommended_gpus(mbps, Kiosk())}):
                for speed in (5.0, 7.5, 10.0):
                    run = simulate_kiosk(images, gpus, mbps, Kiosk(images_per_s=speed), step_s=30.0)
                    rows.append(
                        (mbps, images, gpus, speed, run.hours, run.network_and_data, run.gpu_nodes, run.cpu_nodes)
                    )
    columns = ["upload_mbps", "images", "gpus", "images_per_s", "hours", "network_and_data", "gpu_nodes", "cpu_nodes"]
    table = pd.DataFrame(rows, columns=columns)
    table["dollars"] = table[["network_and_data", "gpu_nodes", "cpu_nodes"]].sum(axis=1)
    return table.round(2)


def sweep_shares(rates: Rates, size: int) -> list[tuple[str, object, dict[str, float]]]:
    """Let machines without GPU infer a share of the batches, of the automatic size and of half of it."""
    rows: list[tuple[str, object, dict[str, float]]] = []
    for pixels in (size, SHARED_PIXELS):
        for share in (0.2, 0.3, CPU_SHARE, 0.5, 1.0):
            name = f"CPU share, batches of {pixels} px"
            rows.append((name, share, run_million(read_fleet(share=share).fleet, rates, pixels, share=share)))
    mixed = read_fleet(share=CPU_SHARE).fleet
    slow = replace(rates, network_core_s_per_mpx=2 * rates.network_core_s_per_mpx)
    changes = {"network on a CPU half as fast": (mixed, slow)}
    changes |= {f"GPU {speed:g} Mpx/s": (mixed, replace(rates, gpu_mpx_per_s=speed)) for speed in (5.0, 10.0)}
    for losses in (0.2, 0.5):
        changes[f"losses_per_h {losses}"] = (replace(mixed, place=replace(mixed.place, losses_per_h=losses)), rates)
    for to, (fleet, changed) in changes.items():
        name = f"CPU share {CPU_SHARE}, batches of {SHARED_PIXELS} px"
        rows.append((name, to, run_million(fleet, changed, SHARED_PIXELS, share=CPU_SHARE)))
    return rows


def sweep() -> pd.DataFrame:
    """Change one number at a time for a million images.

    One row per change, medians over seeds.
    """
    setting = read_fleet()
    fleet, rates = setting.fleet, setting.rates.packed
    size = choose_batch_pixels(FUSED, fleet, rates, setting.disk_bytes)
    base = run_million(fleet, rates, size)
    rows = [("as planned", "", base)]
    for gpus in (1, 2, 4, 8, 32):
        rows.append(("GPUs", gpus, run_million(read_fleet(gpus).fleet, rates, size)))
    for machine in ("g2-standard-4", "g2-standard-8", "g2-standard-32"):
        rows.append(("machine", machine, run_million(read_fleet(machine=machine).fleet, rates, size)))
    rows += sweep_shares(rates, size)
    for speed in (5.0, 8.0, 9.0, 10.0, 15.0):
        rows.append(("GPU Mpx/s", speed, run_million(fleet, replace(rates, gpu_mpx_per_s=speed), size)))
    for exponent in range(29, 36):
        rows.append(("batch_pixels", 2**exponent, run_million(fleet, rates, 2**exponent)))
    for name, values in {
        "losses_per_h": (0.0, 0.2, 0.5),
        "start_s": (60.0, 300.0, 600.0),
        "submit_s": (0.5, 10.0),
        "transfer_bytes_per_s": (2e7, 4e8),
    }.items():
        for value in values:
            changed = replace(fleet, place=replace(fleet.place, **{name: value}))
            rows.append((name, value, run_million(changed, rates, size)))
    for name, submit_s in {"prepared one by one": fleet.place.submit_s, "prepared at once": 0.0}.items():
        changed = replace(fleet, place=replace(fleet.place, submit_s=submit_s))
        rows.append(("job array", name, run_million(changed, rates, ARRAY_PIXELS, is_array=True)))
    slower = replace(rates, core_s_per_mpx=tuple(2 * value for value in rates.core_s_per_mpx))
    rows.append(("CPU work", "doubled", run_million(fleet, slower, size)))
    rows.append(("market", "on demand", run_million(read_fleet(spot=False).fleets["on_demand"], rates, size)))
    table = pd.DataFrame([{"changed": name, "to": value, **row} for name, value, row in rows])
    return table.round(3)


def sample_table() -> pd.DataFrame:
    """Put the 139 to 140 Mpx of the post and of its benchmarks beside a fused task of ours."""
    fleet = read_fleet(gpus=1).fleet
    rates, station = Rates(), fleet.stations[FUSED]
    cpu = [139 * value / station.vcpus for value in rates.core_s_per_mpx]
    rows = [
        ("set-up", 180.0, None, fleet.place.start_s + rates.task_s + rates.model_load_s),
        ("preprocess", None, 43.0, cpu[0]),
        ("predict", None, 193.0, 139 / rates.gpu_mpx_per_s),
        ("postprocess", None, 264.0, cpu[2]),
        ("measure", None, None, cpu[3]),
        ("task (ours: overlapped)", 240.0, 500.0, max(139 / rates.gpu_mpx_per_s, sum(cpu)) + rates.task_s),
    ]
    return pd.DataFrame(
        rows, columns=["step, s", "post, 140 Mpx", "its benchmark, 139 Mpx, T4", "ours, 139 Mpx"]
    ).round(1)


def draw(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Draw time and cost against GPUs, batch size, upload speed and preemption."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    ours, kiosk = tables["million"], tables["kiosk"]
    base = ours[ours["changed"] == "as planned"].iloc[0]
    figure, axes = pyplot.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    gpus = pd.concat([ours[ours["changed"] == "GPUs"], base.to_frame().T]).sort_values("gpus")
    gpus = gpus.assign(to=gpus["gpus"])
    batches = ours[ours["changed"] == "batch_pixels"]
    losses = pd.concat([ours[ours["changed"] == "losses_per_h"], base.to_frame().T.assign(to=0.05)]).sort_values("to")
    panels = [("GPUs", gpus), ("batch_pixels", batches), ("losses per machine and hour", losses)]
    for axis, (name, rows) in zip(axes, panels, strict=False):
        x = rows["to"].astype(float)
        axis.plot(x, rows["hours"].astype(float), "o-", color="#0072b2", label="hours, ours")
        right = axis.twinx()
        right.plot(x, rows["dollars"].astype(float), "s--", color="#d55e00", label="dollars, ours")
        right.set_ylim(0)
        axis.set_ylim(0)
        axis.set_xlabel(name)
        axis.set_ylabel("hours", color="#0072b2")
        right.set_ylabel("dollars", color="#d55e00")
        if name != panels[-1][0]:
            axis.set_xscale("log", base=2)
    axis = axes[3]
    for mbps, colour in ((240, "#999999"), (2400, "#009e73")):
        rows = kiosk[(kiosk["upload_mbps"] == mbps) & (kiosk["images"] == 10**6)]
        for speed, style in ((5.0, ":"), (7.5, "-"), (10.0, "--")):
            line = rows[rows["images_per_s"] == speed]
            label = f"Kiosk, {mbps} Mbps" if speed == 7.5 else None
            axis.plot(line["gpus"], line["hours"], style, color=colour, label=label)
    axis.plot(gpus["to"].astype(float), gpus["hours"].astype(float), "o", color="#0072b2", label="ours")
    shared = ours["changed"] == f"CPU share, batches of {SHARED_PIXELS} px"
    share = ours[shared & (ours["to"] == CPU_SHARE)].iloc[0]
    axis.plot(share["gpus"], share["hours"], "*", color="#d55e00", label=f"ours, CPU share {CPU_SHARE}")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("GPUs")
    axis.set_ylabel("hours")
    axis.legend(fontsize=7)
    figure.suptitle("A million images of 1 Mpx: simulated time and cost", fontsize=10)
    figure.savefig(folder / "million.svg")


def main() -> None:
    """Write and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outdir", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    add_csv_option(parser)
    options = parser.parse_args()
    results = Results(options.csv, MILLION)
    options.outdir.mkdir(parents=True, exist_ok=True)
    tables = {"founding": founding_table(), "kiosk": kiosk_table(), "million": sweep(), "sample": sample_table()}
    for name, table in tables.items():
        table.to_csv(options.outdir / f"{name}.csv", index=False)
        print(f"\n{name}\n{table.to_string(index=False)}")
    for row in tables["million"].to_dict("records"):
        results.add(**{name: row[name] for name in MILLION})
    if options.pictures:
        draw(tables, options.pictures)


if __name__ == "__main__":
    main()
