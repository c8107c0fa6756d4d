"""Handles every call: fault, refusal, moto, note, reply, in this order."""

import json
import re
import select
import socket
import threading
import time

import access
import calls
import state
from account import region
from answers import Answer, Refusal
from calls import Call, Notes
from faults import Faults, Rule, refusal
from launching import subnet_of
from moto.ec2.exceptions import EC2ClientError
from tokens import Tokens, created

# What a call makes, by the prefix of its id.
MAKES = {
    "CreateVpc": "vpc",
    "CreateSubnet": "subnet",
    "CreateInternetGateway": "igw",
    "CreateRouteTable": "rtb",
    "CreateSecurityGroup": "sg",
    "ImportKeyPair": "key",
    "RunInstances": "i",
}

# EC2's error for an unknown id.
UNKNOWN = {
    "vpc": ("InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    "subnet": ("InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
    "igw": ("InvalidInternetGatewayID.NotFound", "The internetGateway ID '{}' does not exist"),
    "rtb": ("InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    "sg": ("InvalidGroup.NotFound", "The security group '{}' does not exist"),
    "key": ("InvalidKeyPair.NotFound", "The key pair ID '{}' does not exist"),
    "i": ("InvalidInstanceID.NotFound", "The instance ID '{}' does not exist"),
}

CODE = re.compile(rb"<Code>([^<]*)</Code>")


class App:
    """EC2 as a WSGI application, on top of moto's."""

    def __init__(self, moto, faults: Faults, notes: Notes, latency: float):
        self._moto, self._faults, self._notes, self._latency = moto, faults, notes, latency
        self._tokens = Tokens()
        # One call at a time: moto does not support more, and notes are in the order of the work.
        self._lock = threading.Lock()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/state":
            with self._lock:
                answer = Answer(
                    "200 OK",
                    [("Content-Type", "application/json")],
                    json.dumps(state.everything()).encode(),
                )
        else:
            if self._latency:
                time.sleep(self._latency)
            answer = self._answer(environ)
        # With a length, an answer is sent whole, and a client does not have to support chunks.
        headers = [pair for pair in answer.headers if pair[0].lower() != "content-length"]
        headers.append(("Content-Length", str(len(answer.body))))
        start_response(answer.status, headers)
        return [answer.body]

    def _answer(self, environ) -> Answer:
        call = calls.read(environ)
        calls.begin(call)
        with self._lock:
            self._faults.load()
            rule = self._due(call)
            if rule:
                call.faults.append(rule.do)
            if rule and rule.do == "cut-before":
                self._notes.write(call, "cut")
                hang_up(environ)
            answer = self._do(call, rule, environ)
            self._notes.write(call, _code(answer))
        if rule and rule.do == "hold":
            wait_for_hang_up(environ)
            hang_up(environ)
        if rule and rule.do == "cut-after":
            hang_up(environ)
        return answer

    def _due(self, call: Call) -> Rule | None:
        return self._faults.due(call, _zone(call)) if self._faults.script.rules else None

    def _do(self, call: Call, rule: Rule | None, environ) -> Answer:
        try:
            if call.service == "ec2":
                access.check(call, self._faults.script.denied)
            if rule and rule.do in ("throttle", "capacity", "error"):
                raise refusal(rule, call, _zone(call))
            if call.service != "ec2":
                return self._ask_moto(environ)
            return self._do_in_ec2(call, environ)
        except Refusal as refused:
            return refused.answer()

    def _do_in_ec2(self, call: Call, environ) -> Answer:
        region(call.region).settle()
        self._refuse_hidden(call)
        if call.parameters.get("DryRun") == "true":
            raise Refusal(
                "DryRunOperation", "Request would have succeeded, but DryRun flag is set."
            )
        done = self._tokens.answer(call)
        if done:
            return done
        answer = self._ask_moto(environ)
        self._tokens.keep(call, answer)
        if self._faults.script.eventual_seconds and call.action in MAKES:
            for identity in created(answer, MAKES[call.action]):
                self._faults.hide(identity)
        return answer

    def _ask_moto(self, environ) -> Answer:
        begun = []
        parts = self._moto(environ, lambda status, headers, *_: begun.extend((status, headers)))
        body = b"".join(parts)
        if hasattr(parts, "close"):
            parts.close()
        return Answer(begun[0], begun[1], body)

    def _refuse_hidden(self, call: Call) -> None:
        """What EC2 does not show yet is also unknown by its id."""
        if not self._faults.hides() or (call.changes and not self._faults.script.eventual_writes):
            return
        for name, value in call.parameters.items():
            if not name.startswith("Filter.") and self._faults.is_hidden(value):
                code, message = UNKNOWN[value.split("-")[0]]
                raise Refusal(code, message.format(value))


def _zone(call: Call) -> str | None:
    """The zone of a call, if the call or its subnet names one."""
    subnet = subnet_of(call)
    if call.action == "RunInstances" and subnet:
        try:
            return region(call.region).get_subnet(subnet).availability_zone
        except (EC2ClientError, KeyError):
            return None
    return call.parameters.get("Placement.AvailabilityZone") or call.parameters.get(
        "AvailabilityZone"
    )


def _code(answer: Answer) -> str:
    if answer.status.startswith("2"):
        return "ok"
    found = CODE.search(answer.body)
    return found.group(1).decode() if found else answer.status


def hang_up(environ) -> None:
    """Closes the connection without an answer; ends the request."""
    connection = environ["werkzeug.socket"]
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # The client closed it first.
    raise ConnectionAbortedError


def wait_for_hang_up(environ) -> None:
    """Waits until the client has closed the connection, at the latest when the client ends."""
    poll = select.poll()
    poll.register(environ["werkzeug.socket"], select.POLLRDHUP | select.POLLHUP)
    poll.poll()
