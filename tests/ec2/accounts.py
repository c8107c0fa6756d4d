"""Many accounts, one for each connection to an abstract Unix socket.

To load moto takes seconds of a processor; a fork of a process that has loaded it takes none. A
connection sends the account's command line as a line of JSON. The account ends when the other end
closes the connection, and the connection ends when the account has.
"""

import json
import os
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path


def serve(name: str, serve_account) -> None:
    """Serves accounts until standard input ends."""
    # The kernel forgets an account that has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0" + name)
    listener.listen()
    selector = selectors.DefaultSelector()
    for file in (listener, sys.stdin.buffer):
        selector.register(file, selectors.EVENT_READ)
    while True:
        ready = {key.fileobj for key, _ in selector.select()}
        if sys.stdin.buffer in ready and not sys.stdin.buffer.read1(4096):
            return
        if listener in ready:
            connection, _ = listener.accept()
            if os.fork() == 0:
                selector.close()
                listener.close()
                os._exit(serve_one(connection, serve_account))
            connection.close()


def serve_one(connection: socket.socket, serve_account) -> int:
    """Serves the account of a connection, in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stream = connection.makefile("rb", buffering=0)
    words = json.loads(stream.readline())
    folder = Path(words[words.index("--folder") + 1])
    os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT, 0o644), 2)
    try:
        serve_account(words, stream)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
