"""Serve a folder here for as long as a command runs; ``{port}`` in its tables and in the command becomes the port.

python tests/pipeline/serve_images.py FOLDER COMMAND...
"""

import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    """Addresses are signed: none of them is told."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> int:
    """Serve, run, and stop."""
    folder, *command = sys.argv[1:]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    port = str(server.server_port)
    for table in Path(folder).glob("*.csv"):
        table.write_bytes(table.read_bytes().replace(b"{port}", port.encode()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = subprocess.run([word.replace("{port}", port) for word in command], check=False).returncode
    server.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main())
