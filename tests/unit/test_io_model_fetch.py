"""Fetching weights, from a server on this machine that speaks the same protocol."""

import errno
import hashlib
import json
import logging
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from cellbatch.errors import ConfigError, EngineError, InputError, explain_system_error
from cellbatch.io.model_fetch import fetch_archive
from cellbatch.spec import ArchiveSource

CONTENT = b"archive" * 5000
TOKEN = "s3cret-t0ken"
ARCHIVE = ArchiveSource(hashlib.md5(CONTENT).hexdigest(), "M", key="models/M-1.tar.gz")


class Site(BaseHTTPRequestHandler):
    """``/api/getData`` gives an address to who has the token; ``broken`` downloads end too early."""

    broken = 0
    asked: list[dict[str, str]]

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if self.path == "/api/getData":
            self.send_response(307)
            self.send_header("Location", "/api/getData/")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.headers["X-Api-Key"] != TOKEN:
            self.answer(403, b"no")
        elif form["s3_key"] != [ARCHIVE.key]:
            self.answer(404, b"no such key")
        else:
            host, port = self.server.server_address
            self.answer(200, json.dumps({"url": f"http://{host}:{port}/file?signature=abc"}).encode())

    def do_GET(self):
        self.server.asked.append(dict(self.headers))
        if self.server.broken:
            self.server.broken -= 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:100])
        else:
            self.answer(200, CONTENT)

    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def site():
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.broken, server.asked = 0, []
        server.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(site, target, archive=ARCHIVE, token=TOKEN):
    return fetch_archive(archive, token, target / "x.tar.gz", site=site.address, pause_s=0.001)


def test_a_fetched_archive_is_the_one_named_and_the_token_stays_with_the_site(site, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    assert fetch(site, tmp_path).read_bytes() == CONTENT
    assert TOKEN not in str(site.asked)
    assert TOKEN not in caplog.text


def test_a_broken_download_is_tried_again(site, tmp_path, caplog):
    site.broken = 2
    assert fetch(site, tmp_path).read_bytes() == CONTENT
    assert "attempt 2 of 3" in caplog.text
    assert "signature" not in caplog.text


def test_a_download_that_always_breaks_off_may_be_tried_later(site, tmp_path):
    site.broken = 3
    with pytest.raises(EngineError, match=r"in 3 attempts .the download broke off"):
        fetch(site, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [(errno.ENOSPC, EngineError, "the disk is full"), (errno.EACCES, ConfigError, "may not be read or written")],
)
def test_a_disk_that_takes_no_file_is_no_fault_of_the_site(site, tmp_path, monkeypatch, number, kind, text):
    def refuse(_source, sink, _size):
        raise OSError(number, os.strerror(number), sink.name if number == errno.EACCES else None)

    monkeypatch.setattr("cellbatch.io.model_fetch.shutil.copyfileobj", refuse)
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        fetch(site, tmp_path)
    meant = explain_system_error(caught.value)
    assert type(meant) is kind
    assert str(meant).startswith(f"{tmp_path / 'x.tar.gz'}: {text}")
    assert len(site.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_refused_token(site, tmp_path):
    with pytest.raises(ConfigError, match=r"refused the token .HTTP 403.") as caught:
        fetch(site, tmp_path, token="m1styp3d")
    assert "m1styp3d" not in str(caught.value)


@pytest.mark.parametrize("token", ["", "two\nlines"])
def test_a_token_that_cannot_be_one(site, tmp_path, token):
    with pytest.raises(ConfigError, match="DEEPCELL_ACCESS_TOKEN"):
        fetch(site, tmp_path, token=token)


def test_a_wrong_hash(site, tmp_path):
    other = ArchiveSource("0" * 32, "M", key=ARCHIVE.key)
    with pytest.raises(InputError, match=f"has md5 {ARCHIVE.md5}, but 0000"):
        fetch(site, tmp_path, other)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_not_there(site, tmp_path):
    with pytest.raises(EngineError, match="HTTP 404"):
        fetch(site, tmp_path, ArchiveSource(ARCHIVE.md5, "M", key="models/None-1.tar.gz"))


def test_no_site(tmp_path):
    with pytest.raises(EngineError, match=r"could not be fetched from http://127\.0\.0\.1:9"):
        fetch_archive(ARCHIVE, TOKEN, tmp_path / "x", site="http://127.0.0.1:9", pause_s=0.001)


def test_an_open_address_needs_no_token(site, tmp_path):
    archive = ArchiveSource(ARCHIVE.md5, "M", url=f"{site.address}/file")
    assert fetch(site, tmp_path, archive, token="").read_bytes() == CONTENT
