#!/usr/bin/env python3
"""EC2 for the tests: moto and what it lacks, on a port of this computer. See README.md.

It writes to FOLDER: `port` once it listens, and a line in `calls.jsonl` for each call.
It reads there: `faults.json`, at each call.

With --accounts it is no account itself: see accounts.py.
"""

import argparse
import logging
import os
import sys
import threading
from pathlib import Path

# Has to be set before moto is loaded, which reads it once.
os.environ["MOTO_AMIS_PATH"] = str(Path(__file__).with_name("images.json"))

import account  # noqa: E402
import accounts  # noqa: E402
from app import App  # noqa: E402
from calls import Notes  # noqa: E402
from faults import Faults  # noqa: E402
from machines import Machines  # noqa: E402
from moto.moto_server.werkzeug_app import (  # noqa: E402
    DomainDispatcherApplication,
    create_backend_app,
)
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402


class Handler(WSGIRequestHandler):
    """Keeps connections open, as EC2 does, and logs no requests: calls.jsonl has them."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *args):
        """Logs nothing."""


def main() -> int:
    """Serves until it is stopped, or with --follow or --accounts until standard input ends."""
    options = read_options(sys.argv[1:])
    account.install()
    if options.accounts:
        accounts.serve(options.accounts, lambda words, end: serve(read_options(words), end))
    else:
        serve(options, sys.stdin.buffer if options.follow else None)
    return 0


def serve(options, end) -> None:
    """Serves an account until it is stopped, or this stream ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    faults = Faults(options.folder / "faults.json")
    machines = Machines(options.folder.name, options.machines) if options.machines else None
    account.begin(faults, machines)
    notes = Notes(options.folder / "calls.jsonl")
    moto = DomainDispatcherApplication(create_backend_app)
    app = App(moto, faults, notes, options.latency)
    server = make_server("127.0.0.1", options.port, app, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    if end:
        threading.Thread(target=end_with, args=(end, server), daemon=True).start()
    say_port(options.folder, server.port)
    try:
        server.serve_forever(poll_interval=0.02)
    finally:
        if machines:
            machines.remove_all()


def end_with(stream, server) -> None:
    """Ends the server when the process at the other end of a stream has ended in any way."""
    while stream.read(4096):
        pass
    server.shutdown()


def say_port(folder: Path, port: int) -> None:
    """Writes the port, in one atomic step."""
    half = folder / "port.part"
    half.write_text(f"{port}\n")
    half.rename(folder / "port")


def read_options(words: list[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", type=Path, help="for port, calls and faults")
    place.add_argument("--accounts", metavar="SOCKET", help="serve an account per connection")
    parser.add_argument("--port", type=int, default=0, help="any free one when it is 0")
    parser.add_argument("--latency", type=float, default=0, help="seconds before each call")
    parser.add_argument("--machines", metavar="IMAGE", help="instances are containers of it")
    parser.add_argument("--follow", action="store_true", help="end when standard input does")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
