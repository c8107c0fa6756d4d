"""A call to EC2 as it arrives over HTTP, and its line in the log.

Everything that needs the content of a call (faults, refusals, the notes for the tests) gets it
from here, so the request is read only once.
"""

import io
import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")

# Parameters that are as long as a file, or do not belong in a log.
LENGTHY = ("UserData", "PublicKeyMaterial")

_here = threading.local()


@dataclass
class Call:
    """One request, read."""

    action: str
    # The parameters of the query protocol as sent, for example `TagSpecification.1.Tag.1.Key`.
    parameters: dict[str, str]
    key: str
    region: str
    service: str
    number: int = 0
    # The faults that were applied to it, for the notes.
    faults: list[str] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether it may change something: true for every call that does not only read."""
        return not self.action.startswith(("Describe", "Get", "List"))

    def all(self, prefix: str) -> list[str]:
        """The values of a list, for example `InstanceId` for `InstanceId.1`, `InstanceId.2`."""
        numbered = re.compile(re.escape(prefix) + r"\.\d+")
        return [value for name, value in self.parameters.items() if numbered.fullmatch(name)]

    def note(self, code: str) -> str:
        """The line that tests read: `code` is `ok` or the code of the error."""
        parameters = {
            name: f"({len(value)} bytes)" if name.endswith(LENGTHY) else value
            for name, value in self.parameters.items()
        }
        return json.dumps(
            {
                "number": self.number,
                "action": self.action,
                "changes": self.changes,
                "key": self.key,
                "region": self.region,
                "parameters": parameters,
                "faults": self.faults,
                "code": code,
            }
        )


class Notes:
    """Numbers the calls and writes a line for each, in the order in which they were done."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")
        self._number = 0

    def write(self, call: Call, code: str) -> None:
        """Writes the line at once: it exists before the reply is sent."""
        self._number += 1
        call.number = self._number
        self._file.write(call.note(code) + "\n")
        self._file.flush()


def read(environ: dict) -> Call:
    """Reads a request, and restores its body for the next reader."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    text = body.decode() or environ.get("QUERY_STRING", "")
    parameters = dict(parse_qsl(text, keep_blank_values=True))
    action = parameters.pop("Action", "")
    parameters.pop("Version", None)
    found = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    key, region, service = found.groups() if found else ("", "", "")
    return Call(action, parameters, key, region, service)


def current() -> Call:
    """The call that this thread answers: moto does not pass on all of it."""
    return _here.call


def begin(call: Call) -> None:
    """Sets the call of this thread."""
    _here.call = call
