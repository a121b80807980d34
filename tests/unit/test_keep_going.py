"""Runs that keep going: what goes wrong is left out, named, and can be run again; nothing else is lost."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellbatch.errors import EngineError, InputError
from cellbatch.io.handoffs import HandoffReader, HandoffWriter
from cellbatch.phases.check_run import check_run
from cellbatch.phases.check_samplesheet import check_samplesheet
from cellbatch.phases.crashes import attempt
from cellbatch.phases.failures import Failure, Failures, leave_out, read_failures
from cellbatch.phases.rerun_samplesheet import find_undelivered, rerun_rows, write_rerun
from cellbatch.phases.samples import map_here, map_samples
from cellbatch.phases.settle_samples import Fallbacks
from cellbatch.spec import Batch, SampleSpec

NAMES = [f"s{index:02}" for index in range(20)]


def samples(names: list[str]) -> list[SampleSpec]:
    return [SampleSpec(name, (), (1, 1), 0.5, "0", "", (), "uint8") for name in names]


def work(sample: SampleSpec) -> str:
    """Crash, run out of memory, or find faults, as the sample's name says."""
    if sample.sample == "s07":
        os.kill(os.getpid(), signal.SIGSEGV)
    if sample.sample == "s11":
        raise InputError("is damaged; copy it again")
    if sample.sample == "s12":
        limit = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (2**33, limit))
        np.ones(2**34, np.uint8)
    if sample.sample == "s13":
        raise IndexError("list index out of range")
    return sample.sample.upper()


def test_one_image_that_crashes_its_process_costs_itself_only() -> None:
    crash = Failures("preprocess")
    names = [name for name in NAMES if name not in ("s11", "s12", "s13")]
    found = list(map_samples(work, samples(names), 2, crash))
    assert [sample.sample for sample, _ in found] == [name for name in names if name != "s07"]
    assert all(result == sample.sample.upper() for sample, result in found)
    assert [failure.sample for failure in crash.found] == ["s07"]
    assert "died again when it had the sample to itself" in crash.found[0].reason


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_every_kind_of_fault_is_left_out_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    failures = Failures("preprocess")
    names = ["s10", "s11", "s12", "s13", "s14"]
    assert [sample.sample for sample, _ in map_samples(work, samples(names), 2, failures)] == ["s10", "s14"]
    reasons = {failure.sample: failure.reason for failure in failures.found}
    assert reasons["s11"] == "is damaged; copy it again"
    assert "out of memory" in reasons["s12"]
    assert "a fault of cellbatch itself (IndexError" in reasons["s13"]
    assert "Traceback" in caplog.text


def test_without_it_the_first_fault_stops() -> None:
    with pytest.raises(InputError, match="sample s11: is damaged"):
        list(map_samples(work, samples(["s10", "s11", "s13"])))
    many = [*NAMES[:11], *NAMES[14:]]
    with pytest.raises(EngineError, match="a worker process died"):
        list(map_samples(work, samples(many), 2))


def test_a_large_sample_that_goes_wrong_is_no_part_of_the_handoff(tmp_path: Path) -> None:
    failures = Failures("preprocess")
    batch = Batch("b", tuple(samples(["a", "a.b", "c"])))
    (tmp_path / "labels").mkdir()

    with HandoffWriter(tmp_path / "h.zip") as handoff:

        def write(sample: SampleSpec) -> None:
            (tmp_path / "labels" / f"{sample.sample}.whole_cell.ome.tif").touch()
            array = handoff.create(sample.sample, "bins", (4, 4), "uint8")
            if sample.sample == "a":
                raise ValueError("the second half is damaged")
            array.write((0, 0), np.ones((4, 4), np.uint8))

        assert [sample.sample for sample, _ in map_here(write, batch.samples, failures)] == ["a.b", "c"]
        leave_out(failures, batch, handoff, tmp_path / "labels")
    with HandoffReader(tmp_path / "h.zip") as reader:
        assert reader.samples() == ("a.b", "c")
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == [
        "a.b.whole_cell.ome.tif",
        "c.whole_cell.ome.tif",
    ]
    failures.write(tmp_path / "failed.jsonl")
    assert read_failures([tmp_path / "failed.jsonl"]) == [Failure("a", "preprocess", "the second half is damaged")]


def test_nothing_is_written_where_nothing_went_wrong(tmp_path: Path) -> None:
    Failures("measure").write(tmp_path / "failed.jsonl")
    write_rerun([], tmp_path / "absent.jsonl", tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_the_rerun_samplesheet_runs_as_it_is(tmp_path: Path) -> None:
    """Rows with faults, samples that failed in a task, and those whose whole batch was lost; all paths in full."""
    images = tmp_path / "images"
    folder = tmp_path / "data" / "plate"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        tifffile.imwrite(folder / f"{name}.tif", np.ones((8, 9), np.uint8))
    (folder / "bad.tif").write_bytes(b"nothing")
    tifffile.imwrite(tmp_path / "data" / "x, y.tif", np.ones((8, 9), np.uint8))
    sheet = tmp_path / "data" / "sheet.csv"
    sheet.write_text('sample,image,image_mpp,donor\nplate,plate,0.5,7\nx,"x, y.tif",0.5,"a ""b"""\nlost,"x, y.tif",,\n')
    entries = [[path.name, 1, 1] for path in sorted(folder.iterdir())]
    staged = []
    for position, path in enumerate((folder, tmp_path / "data" / "x, y.tif", tmp_path / "data" / "x, y.tif"), 1):
        (images / str(position)).mkdir(parents=True)
        (images / str(position) / path.name).symlink_to(path)
        cell = {"column": "image", "path": path.name, "state": "staged", "position": position, "uri": str(path)}
        staged.append({"files": [cell | ({"entries": entries} if position == 1 else {})]})
    checked = check_samplesheet(sheet, staged, images, Fallbacks(), keep_going=True)
    assert [out.sample for out in checked.left_out] == ["plate_bad", "lost"]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in rerun_rows(checked)))
    plan = {
        "left_out": [vars(out) for out in checked.left_out],
        "batch_list": [{"id": "b1", "samples": ["plate_one", "plate_two"]}, {"id": "b2", "samples": ["x"]}],
    }
    undelivered = find_undelivered(plan, [Failure("plate_two", "measure", "no disk")], ["plate_one"])
    assert [(one.sample, one.phase) for one in undelivered] == [
        ("plate_bad", "plan"),
        ("lost", "plan"),
        ("plate_two", "measure"),
        ("x", "batch b2"),
    ]
    write_rerun(undelivered, rows, tmp_path, 3)
    with (tmp_path / "rerun_samplesheet.csv").open(newline="") as stream:
        found = {row["sample"]: row for row in csv.DictReader(stream)}
    assert found["plate_bad"]["image"] == str(folder / "bad.tif")
    assert found["plate_two"] == {
        "sample": "plate_two",
        "image": str(folder / "two.tif"),
        "image_mpp": "0.5",
        "donor": "7",
    }
    assert found["x"] == {"sample": "x", "image": str(tmp_path / "data/x, y.tif"), "image_mpp": "0.5", "donor": 'a "b"'}
    assert set(found) == {"plate_bad", "plate_two", "x", "lost"}
    text = (tmp_path / "failed.txt").read_text()
    assert text.startswith("4 of 5 samples were NOT segmented")
    assert "plate_two (measure): no disk" in text
    with pytest.raises(InputError, match="4 of 5 samples were NOT segmented"):
        check_run(tmp_path / "failed.txt")


SCRIPT = """
import os, signal, sys
from pathlib import Path
from cellbatch.cli import run
from cellbatch.errors import EngineError
from cellbatch.phases.crashes import outlive_crashes
from cellbatch.phases.failures import Failures
from cellbatch.phases.samples import map_here
from tests.unit.test_keep_going import samples

def work(sample):
    with open("tried", "a") as file:
        file.write(sample.sample)
    if sample.sample == "b":
        os.kill(os.getpid(), getattr(signal, sys.argv[3]))
    if sample.sample == "d" and sys.argv[3] == "SIGSEGV":
        raise EngineError("no memory")

def main():
    failures = Failures("infer")
    done = [sample.sample for sample, _ in map_here(work, samples(["a", "b", "c", *sys.argv[4:]]), failures)]
    Path("done").write_text("".join(done))
    failures.write(Path(sys.argv[2]))

sys.exit(outlive_crashes(lambda: run(main), sys.argv))
"""


def run_script(folder: Path, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(SCRIPT)
    path = {"PYTHONPATH": f"{project / 'src'}:{project}"}
    command = [sys.executable, "script.py", "--failed", "failed.jsonl", *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ, **path}, capture_output=True, text=True)


def test_a_sample_that_crashes_its_script_is_tried_once_more_and_left_out(tmp_path: Path, project: Path) -> None:
    ended = run_script(tmp_path, project, "SIGSEGV")
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "tried").read_text() == "ab" + "ab" + "ac"
    assert (tmp_path / "done").read_text() == "ac"
    (failure,) = read_failures([tmp_path / "failed.jsonl"])
    assert (failure.sample, failure.phase) == ("b", "infer")
    assert "died again when it was tried once more" in failure.reason
    assert "died of SIGSEGV at sample b" in ended.stderr


def test_what_may_pass_is_first_tried_again_by_the_engine(tmp_path: Path, project: Path) -> None:
    """A task that is killed for memory gets more; only its last attempt is split."""
    assert run_script(tmp_path, project, "SIGKILL").returncode == 137
    assert not (tmp_path / "failed.jsonl").exists()
    (tmp_path / ".attempt").write_text("4 137\n")
    assert run_script(tmp_path, project, "SIGKILL").returncode == 0
    assert (tmp_path / "done").read_text() == "ac"
    (tmp_path / ".attempt").unlink()
    assert run_script(tmp_path, project, "SIGSEGV", "d").returncode == 75
    (tmp_path / ".attempt").write_text("4 75\n")
    assert run_script(tmp_path, project, "SIGSEGV", "d").returncode == 0
    assert [failure.sample for failure in read_failures([tmp_path / "failed.jsonl"])] == ["b", "d"]


def note_and_wait(sample: SampleSpec) -> None:
    """Leave the number of this process, and work for longer than anybody waits."""
    Path("worker").write_text(str(os.getpid()))
    Path("worker").rename("at_work")
    time.sleep(60)


ORPHANS = """
from cellbatch.phases.failures import Failures
from cellbatch.phases.samples import map_samples
from tests.unit.test_keep_going import note_and_wait, samples

if __name__ == "__main__":
    list(map_samples(note_and_wait, samples(["a"]), 1, Failures("preprocess")))
"""


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within 20 s."""
    patience = time.monotonic() + 20
    while not condition() and time.monotonic() < patience:
        time.sleep(0.05)
    return condition()


def test_workers_do_not_outlive_a_task_that_is_killed(tmp_path: Path, project: Path) -> None:
    (tmp_path / "script.py").write_text(ORPHANS)
    path = {**os.environ, "PYTHONPATH": f"{project / 'src'}:{project}"}
    with subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env=path) as task:
        assert wait_until((tmp_path / "at_work").exists)
        worker = Path("/proc", (tmp_path / "at_work").read_text())
        assert worker.exists()
        task.kill()
    assert wait_until(lambda: not worker.exists())


def test_the_attempt_is_known_where_the_work_is_done_on_a_scratch_disk(tmp_path, monkeypatch) -> None:
    (tmp_path / "task").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "task/.attempt").write_text("3 137\n", encoding="ascii")
    monkeypatch.chdir(tmp_path / "scratch")
    assert attempt() == 1
    monkeypatch.setenv("NXF_TASK_WORKDIR", str(tmp_path / "task"))
    assert attempt() == 3
