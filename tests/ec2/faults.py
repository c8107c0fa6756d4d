"""The faults that tests ask for: rules in faults.json, read again whenever the file changes.

README.md says what may be in the file.
"""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from answers import Refusal
from calls import Call

# How long an instance changes its state, if faults.json does not set it: until it was described
# once, or this number of seconds.
STATES = {
    "pending": {"describes": 1, "seconds": 5},
    "shutting-down": {"describes": 1, "seconds": 5},
    "stopping": {"describes": 1, "seconds": 5},
}


@dataclass
class Rule:
    """One rule, and how often it matched and was used since the file was written."""

    do: str
    action: str = "*"
    nth: int | None = None
    every: int | None = None
    times: int | None = None
    zone: str | None = None
    type: str | None = None
    code: str = "InternalError"
    message: str = "An internal error has occurred"
    fitted: int = 0
    used: int = 0

    def __post_init__(self):
        if self.do == "capacity":
            self.action = "RunInstances"

    def is_due(self, call: Call, zone: str | None) -> bool:
        """Counts a matching call, and returns whether the rule applies to it."""
        if not self._fits(call, zone):
            return False
        self.fitted += 1
        if self.times is not None and self.used >= self.times:
            return False
        if self.nth is not None and self.fitted != self.nth:
            return False
        if self.every is not None and self.fitted % self.every != 0:
            return False
        self.used += 1
        return True

    def _fits(self, call: Call, zone: str | None) -> bool:
        if self.action == "*changes":
            named = call.changes
        else:
            named = self.action in ("*", call.action)
        return (
            named
            and (self.zone is None or self.zone == zone)
            and (self.type is None or self.type == call.parameters.get("InstanceType"))
        )


@dataclass
class Script:
    """The content of faults.json."""

    rules: list[Rule] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    states: dict = field(default_factory=dict)
    # How long new things are in no answer, and whether changing calls do not know them either.
    eventual_seconds: float = 0
    eventual_writes: bool = False
    # How many seconds ago an instance was launched that is launched now.
    age: float = 0


class Faults:
    """The faults that are in force."""

    def __init__(self, path: Path):
        self._path = path
        self._stamp: tuple | None = None
        self.script = Script()
        # What is not in answers yet: ids, and the time until which they are hidden.
        self._hidden: dict[str, float] = {}

    def load(self) -> None:
        """Reads the file if it has changed. The counts then begin again."""
        try:
            stat = os.stat(self._path)
        except FileNotFoundError:
            self._stamp, self.script = None, Script()
            return
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            self.script = parse(json.loads(self._path.read_text()))
            self._stamp = stamp

    def due(self, call: Call, zone: str | None) -> Rule | None:
        """The first rule that applies; the others count the call all the same."""
        due = [rule for rule in self.script.rules if rule.is_due(call, zone)]
        return due[0] if due else None

    def state(self, name: str) -> dict:
        """How long an instance is in a state: `describes`, `seconds`; for ever without both."""
        return self.script.states.get(name, STATES[name])

    def hide(self, identity: str) -> None:
        """Hides new things from answers for a while."""
        self._hidden[identity] = time.monotonic() + self.script.eventual_seconds

    def is_hidden(self, identity: str) -> bool:
        """Whether it is still hidden from answers."""
        until = self._hidden.get(identity)
        if until is not None and time.monotonic() >= until:
            del self._hidden[identity]
            return False
        return until is not None

    def hides(self) -> bool:
        """Whether anything may be hidden."""
        return bool(self._hidden)


def parse(content: dict) -> Script:
    """Reads faults.json. An unknown word is an error, because the test would prove nothing."""
    eventual = content.pop("eventual", {})
    script = Script(
        rules=[Rule(**rule) for rule in content.pop("rules", [])],
        denied=content.pop("denied", []),
        states=content.pop("states", {}),
        eventual_seconds=eventual.get("seconds", 0),
        eventual_writes=eventual.get("writes", False),
        age=content.pop("age", 0),
    )
    known = ("throttle", "capacity", "cut-before", "cut-after", "hold", "error")
    wrong = list(content) + [rule.do for rule in script.rules if rule.do not in known]
    wrong += [name for name in script.states if name not in STATES]
    if wrong:
        raise ValueError(f"faults.json: {wrong} means nothing")
    return script


def refusal(rule: Rule, call: Call, zone: str | None) -> Refusal:
    """EC2's answer in this case."""
    if rule.do == "throttle":
        return Refusal("RequestLimitExceeded", "Request limit exceeded.")
    if rule.do == "capacity":
        kind = call.parameters.get("InstanceType")
        return Refusal(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {kind} capacity in the Availability Zone you "
            f"requested ({zone}). Our system will be working on provisioning additional capacity. "
            f"You can currently get {kind} capacity by not specifying an Availability Zone in "
            "your request or choosing another one.",
        )
    return Refusal(rule.code, rule.message)
