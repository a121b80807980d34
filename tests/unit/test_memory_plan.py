"""Projected memory: by image size, and against what a machine has."""

from dataclasses import replace

import pytest

from cellbatch.errors import ConfigError
from cellbatch.io.host_memory import host_memory_mb
from cellbatch.measurement.columns import table_columns
from cellbatch.phases.plan_memory import check_memory
from cellbatch.phases.timing_files import write_timings
from cellbatch.planning.memory import (
    COLUMNS,
    COLUMNS_PER_CHANNEL,
    MEMORY_MODELS,
    project_fused_mb,
    project_memory_mb,
    refuse_too_large,
)
from cellbatch.planning.stages import share_out
from cellbatch.reporting.timings import Timings
from cellbatch.spec import Batch, ImageSource, SampleSpec


def _sample(name, shape, channels=("a", "b")):
    return SampleSpec(name, (ImageSource("image", 1),), shape, 0.5, "0", "1", channels, "uint16")


def _project(phase, *shapes, processes=2):
    samples = [_sample(str(i), shape) for i, shape in enumerate(shapes)]
    return project_memory_mb(phase, samples, [shape[0] * shape[1] for shape in shapes], processes)


@pytest.mark.parametrize("phase", ["preprocess", "infer", "postprocess"])
def test_a_gigapixel_needs_less_than_a_laptop_has(phase):
    assert _project(phase, (16384, 16384)) <= 1024
    assert _project(phase, (32768, 32768)) <= 1536


# peaks of MEASURE_CELLS in MiB, as benchmarks/end_to_end.py and plan_against_run.py measured them (docs/any_size.md)
@pytest.mark.parametrize(
    ("side", "channels", "peak"),
    [
        (4096, 4, 520),
        (8192, 4, 577),
        (16384, 4, 701),
        (32768, 4, 858),
        (4096, 40, 511),
        (8192, 40, 596),
        (20000, 40, 780),
    ],
)
def test_channels_count_where_the_table_is_large(side, channels, peak):
    names = tuple(f"marker {position}" for position in range(channels))
    sample = _sample("slide", (side, side), names)
    asked = project_memory_mb("measure", [sample], [side * side])
    assert peak <= asked <= 1.5 * peak + 200e6 / 2**20
    few = project_memory_mb("measure", [replace(sample, measured_channels=(0, 3))], [side * side])
    assert (few < asked) == (side == 20000)


@pytest.mark.parametrize("channels", [0, 1, 40])
def test_the_columns_of_the_table_are_those_that_are_written(channels):
    written = table_columns([str(position) for position in range(channels)], has_nuclei=True)
    # the name of the sample stands before them
    assert len(written) + 1 == COLUMNS + COLUMNS_PER_CHANNEL * channels


@pytest.mark.parametrize("phase", ["preprocess", "infer", "postprocess"])
def test_channels_count_for_the_table_alone(phase):
    many = _sample("slide", (20000, 20000), tuple("abcdefghij" * 4))
    assert project_memory_mb(phase, [many], [20000**2]) == _project(phase, (20000, 20000))


def test_wide_images_cost_inference_more_than_tall_ones():
    assert _project("infer", (1024, 32768)) > 1.5 * _project("infer", (32768, 1024))


@pytest.mark.parametrize("phase", sorted(MEMORY_MODELS))
def test_workers_are_counted_for_small_images_only(phase):
    small = [(1024, 1024)] * 16
    assert _project(phase, *small) > 1.5 * _project(phase, *small, processes=1)
    large = [(4096, 4096)] * 16
    assert _project(phase, *large) == _project(phase, large[0])


def _project_fused(shapes, cores=2):
    samples = [_sample(str(i), shape) for i, shape in enumerate(shapes)]
    pixels = [height * width for height, width in shapes]
    return project_fused_mb(samples, pixels, share_out(shapes, cores))


def test_a_fused_task_holds_all_phases_at_once():
    one = [(2000, 2000)]
    phases = sum(_project(phase, *one) - 190 for phase in ("preprocess", "infer", "measure"))
    assert phases - 3 * 128 < _project_fused(one) - 260 < phases
    assert _project_fused(one * 3) > _project_fused(one)
    # worker processes, and more of them
    assert _project_fused(one * 16) > _project_fused(one * 15) + 300
    assert _project_fused(one * 16, cores=8) > _project_fused(one * 16) + 5 * 190
    # images that fill a stage are there alone
    huge = [(16384, 16384)]
    assert _project_fused(huge * 4) == _project_fused(huge * 3)


def test_what_does_not_fit_is_named_with_a_remedy():
    samples = [_sample("small", (100, 100)), _sample("large", (30000, 30000))]
    refuse_too_large({"infer": 900, "measure": 1000}, samples, 1000)
    message = r"sample large \(30000x30000 px\): the phase measure needs 1001 MB .* 1000 MB"
    with pytest.raises(ConfigError, match=message):
        refuse_too_large({"infer": 900, "measure": 1001}, samples, 1000)
    with pytest.raises(ConfigError, match=r"sample large .*--phases split each phase"):
        refuse_too_large({"fused": 1001}, samples, 1000)
    with pytest.raises(ConfigError, match="tile_batch"):
        refuse_too_large({"infer": 1001, "measure": 900}, samples, 1000)


def test_this_machine_or_the_limit_of_nextflow_decides():
    assert host_memory_mb("300 MB") == 300
    assert host_memory_mb() > 300
    record = Batch("b", (_sample("a", (100, 100)),)).to_json()
    batches = [{"meta": {"memory": {"measure": 301}}, "record": record}]
    check_memory(batches, {"place": "local"})
    check_memory(batches, {"place": "google"}, "300 MB")
    for place in ("local", "cluster"):
        with pytest.raises(ConfigError, match=r"sample a .* needs 301 MB of memory, but 300 MB"):
            check_memory(batches, {"place": place}, "300 MB")


def test_the_memory_of_the_job_that_plans_says_nothing_of_the_nodes_of_a_cluster(monkeypatch):
    monkeypatch.setattr("cellbatch.phases.plan_memory.host_memory_mb", lambda limit: 300)
    batches = [{"meta": {"memory": {"measure": 301}}, "record": Batch("b", (_sample("a", (100, 100)),)).to_json()}]
    check_memory(batches, {"place": "cluster"})
    with pytest.raises(ConfigError, match="needs 301 MB"):
        check_memory(batches, {"place": "local"})


def test_a_repeated_task_says_so_in_its_timings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NXF_TASK_WORKDIR", raising=False)
    write_timings(Timings("infer", "b"), tmp_path / "first.csv")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".attempt").write_text("2 137\n")
    monkeypatch.setenv("NXF_TASK_WORKDIR", str(tmp_path / "work"))
    write_timings(Timings("infer", "b"), tmp_path / "second.csv")
    assert "attempt" not in (tmp_path / "first.csv").read_text()
    assert "attempt_2_after_exit_137" in (tmp_path / "second.csv").read_text()
