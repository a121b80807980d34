"""What a long step says of itself."""

import io
import logging

import pytest

import cellbatch.progress
from cellbatch.progress import Progress


def test_plain_lines_tell_share_rate_and_time_left(monkeypatch, caplog):
    now = iter([0.0, 5.0, 25.0, 30.0, 100.0])
    monkeypatch.setattr(cellbatch.progress.time, "monotonic", lambda: next(now))
    caplog.set_level(logging.INFO)
    with Progress("infer tonsil", 100_000_000) as progress:
        for _ in range(4):
            progress.add(5_000_000)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "infer tonsil: 10 %, 0.4 Mpx/s, 3 min left",
        "infer tonsil: 20 %, 0.2 Mpx/s, 6 min left",
    ]


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(cellbatch.progress.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("infer tonsil", 4_000_000) as progress:
        progress.add(2_000_000)
    assert "infer tonsil" in terminal.getvalue()
    assert "Mpx/s" in terminal.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(3.4, "3 s"), (3700, "1 h 1 min"), (60, "1 min")])
def test_durations(seconds, text):
    assert cellbatch.progress._duration(seconds) == text
