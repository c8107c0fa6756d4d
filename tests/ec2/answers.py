"""Answers that moto does not give: errors in EC2's format."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

# Codes that EC2 sends with another status than 400. Clients retry if it is 500 or above.
STATUS = {
    "AuthFailure": "401 Unauthorized",
    "UnauthorizedOperation": "403 Forbidden",
    "DryRunOperation": "412 Precondition Failed",
    "InternalError": "500 Internal Server Error",
    "InsufficientInstanceCapacity": "500 Internal Server Error",
    "RequestLimitExceeded": "503 Service Unavailable",
    "Unavailable": "503 Service Unavailable",
}


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(eq=False)
class Refusal(Exception):
    """EC2's refusal of a call."""

    code: str
    message: str

    def answer(self) -> Answer:
        """The refusal as EC2 writes it."""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
            f"<Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message>"
            "</Error></Errors><RequestID>00000000-0000-0000-0000-000000000000</RequestID>"
            "</Response>"
        ).encode()
        headers = [
            ("Content-Type", "text/xml;charset=UTF-8"),
            ("Content-Length", str(len(body))),
        ]
        return Answer(STATUS.get(self.code, "400 Bad Request"), headers, body)
