"""The report in a real browser: what a reader meets who has no network.

Runs where chromium, chromium-browser, google-chrome or google-chrome-stable is on the PATH.
"""

import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cellbatch.quality.figures import FIGURES
from cellbatch.reporting.multiqc import write_report
from cellbatch.reporting.overlays import draw_thumbnail
from cellbatch.reporting.sections import MAX_THUMBNAILS, RunFacts, build_sections
from cellbatch.reporting.summary import Findings, merge_summaries, summarize_sample, summary_table
from cellbatch.reporting.timing_tables import merge_timings, table_timings
from cellbatch.reporting.timings import Timings
from cellbatch.spec import SampleSpec

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# names that MultiQC would trim to one, as it does by default
SUFFIXES = ("csv", "txt", "bam", "fastq.gz")
WATCH = """<script>window.cellbatchErrors = [];
addEventListener("error", (event) => cellbatchErrors.push(String(event.message || event.target.outerHTML)), true);
addEventListener("unhandledrejection", (event) => cellbatchErrors.push(String(event.reason)));
console.error = (...words) => cellbatchErrors.push(words.join(" "));</script>"""
PROBE = """<script>addEventListener("load", () => setTimeout(async () => {
const found = {};
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const table = [...document.querySelectorAll("table")].find((one) => one.id.startsWith("cellbatch_samples"));
const names = () => [...table.querySelectorAll("tbody tr")].map((row) => row.querySelector("th").innerText.trim());
const title = [...table.querySelectorAll("thead th")].find((cell) => cell.innerText.trim() === "Cells");
const column = [...title.parentNode.children].indexOf(title);
const cells = () => [...table.querySelectorAll("tbody tr")].map((row) => row.children[column].innerText);
found.names = names();
const orders = [];
for (let turn = 0; turn < 2; turn++) {
  for (const kind of ["mousedown", "mouseup", "click"]) title.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
  await wait(300); orders.push(cells());
}
found.orders = orders;
const pictures = [...document.querySelectorAll(".cellbatch-gallery img")];
found.pictures = pictures.map((picture) => picture.complete && picture.naturalWidth > 0);
if (pictures.length) {
  const button = pictures[0].parentNode, small = pictures[0].getBoundingClientRect().width;
  button.click(); await wait(200);
  found.enlarged = pictures[0].getBoundingClientRect().width / small;
  document.dispatchEvent(new KeyboardEvent("keydown", {key: "Escape"})); await wait(100);
  found.back = pictures[0].getBoundingClientRect().width / small;
}
found.headings = [...document.querySelectorAll("h2")].map((one) => one.innerText.trim());
document.querySelectorAll(".hc-plot").forEach((plot) => plot.scrollIntoView()); await wait(1500);
found.plots = document.querySelectorAll(".js-plotly-plot").length;
found.toolbox = [...document.querySelectorAll(".mqc-toolbox-buttons")].some((one) => one.offsetParent !== null);
const loaded = performance.getEntriesByType("resource").map((one) => one.name);
found.addresses = loaded.filter((name) => name.startsWith("http"));
found.errors = cellbatchErrors;
document.body.innerHTML = "<pre id=found></pre>";
document.getElementById("found").textContent = JSON.stringify(found);
}, 500));</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no browser on the PATH; any of {', '.join(BROWSERS)} will do")


def make_facts(count: int) -> RunFacts:
    rng = np.random.default_rng(0)
    rows, thumbnails = [], {}
    for number in range(count):
        name = f"s{number // len(SUFFIXES)}.{SUFFIXES[number % len(SUFFIXES)]}"
        cells = int(rng.integers(1, 3000))
        areas = rng.integers(40, 400, cells)
        verdict = ("pass", "warn", "fail")[int(number % 8 == 0) + int(number % 40 == 0)]
        reasons = () if verdict == "pass" else ("the nuclear channel is out of focus (detail 0.10)",)
        found = Findings(
            {"whole_cell": cells, "nuclear": cells - 1},
            areas,
            np.stack([areas, 10.0 * areas], axis=1),
            dict.fromkeys(FIGURES, 0.5),
            verdict,
            reasons,
            crops=3,
        )
        sample = SampleSpec(name, (), (1024, 1024), 0.5, "0", "1", ("DNA", "CD45"), "uint16")
        rows.append(summarize_sample(sample, "b1", found))
        # noise is the largest picture there is
        thumbnails[name] = draw_thumbnail(rng.integers(0, 256, (120, 120, 3), dtype=np.uint8))
    timings = Timings("infer", "b1")
    timings.add("", "load_model", 1.5)
    timings.add("s", "network", 20.5)
    return RunFacts(
        merge_summaries([summary_table(rows)]),
        merge_timings([table_timings(timings)]),
        thumbnails=thumbnails,
        overlays={name: f"../qc/{name}.overlay.png" for name in thumbnails},
        model={"name": "demo", "version": "1", "licence": "MIT"},
        parameters={"input": "samplesheet.csv"},
        versions={"INFER_TILES": {"onnxruntime": "1.2.3"}},
        plan={"samples": count, "memory_mb": {"infer": 512}},
    )


def visit(browser: str, page: Path, folder: Path) -> dict:
    """Open a copy of the page that reports on itself, without network."""
    text = page.read_text(encoding="utf-8")
    text = text.replace("<head>", "<head>" + WATCH, 1)
    start = text.rindex("</body>")
    probed = folder / "probed.html"
    probed.write_text(text[:start] + PROBE + text[start:], encoding="utf-8")
    command = [
        browser,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,2000",
        "--virtual-time-budget=15000",
        "--dump-dom",
        probed.as_uri(),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found, f"the page did not report: {shown[-2000:]}"
    return json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_the_report_works_in_a_browser_without_network(browser, project, tmp_path, count):
    facts = make_facts(count)
    page = tmp_path / "multiqc_report.html"
    write_report(build_sections(facts), project / "assets" / "multiqc_config.yml", page)
    assert page.stat().st_size < 20e6
    found = visit(browser, page, tmp_path)
    assert found["errors"] == []
    assert found["addresses"] == []
    assert sorted(found["names"]) == sorted(facts.summary["sample"])
    rising, falling = ([int(re.sub(r"\D", "", text)) for text in order] for order in found["orders"])
    assert sorted((rising, falling)) == sorted((sorted(rising), sorted(rising, reverse=True)))
    assert sorted(rising) == sorted(facts.summary["cells"])
    doubtful = int((facts.summary["verdict"] != "pass").sum())
    assert found["pictures"] == [True] * (count if count <= MAX_THUMBNAILS else min(doubtful, MAX_THUMBNAILS))
    assert found["enlarged"] > 3
    assert found["back"] == 1
    assert found["headings"][:3] == ["At a glance", "Samples", "Overlays"]
    assert found["plots"] >= 5
    assert not found["toolbox"]


def test_thumbnails_of_the_test_are_as_large_as_they_come():
    sizes = [len(jpeg) for jpeg in make_facts(3).thumbnails.values()]
    assert min(sizes) > 4000
    with Image.open(io.BytesIO(next(iter(make_facts(1).thumbnails.values())))) as picture:
        assert picture.format == "JPEG"
