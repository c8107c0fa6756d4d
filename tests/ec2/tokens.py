"""ClientTokens, which moto ignores: a repeated call is done only once."""

import re

from answers import Answer, Refusal
from calls import Call


class Tokens:
    """The calls that were done, by token, with their answers."""

    def __init__(self):
        self._done: dict[tuple[str, str, str], tuple[dict, Answer]] = {}

    def answer(self, call: Call) -> Answer | None:
        """The answer of the same call, if it was done.

        Always None for RunInstances: the account finds its instances by their token, and shows
        their present state.
        """
        done = self._done.get(_key(call))
        if done is None:
            return None
        parameters, answer = done
        if parameters != call.parameters:
            raise Refusal(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in "
                "previous request(s).",
            )
        return None if call.action == "RunInstances" else answer

    def keep(self, call: Call, answer: Answer) -> None:
        """Keeps a call that was done. A refused call may be repeated with other parameters."""
        if call.parameters.get("ClientToken") and answer.status.startswith("2"):
            self._done.setdefault(_key(call), (call.parameters, answer))


def _key(call: Call) -> tuple[str, str, str]:
    return call.region, call.action, call.parameters.get("ClientToken", "")


def created(answer: Answer, prefix: str) -> set[str]:
    """The ids of one kind in an answer, for example all `vpc-…`."""
    return set(re.findall(rf"\b{prefix}-[0-9a-f]{{8,17}}\b", answer.body.decode()))
