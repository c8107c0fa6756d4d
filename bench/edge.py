"""What users of the rehearsal's edge notice when something dies or is deployed.

A client sends 200 requests a second, each on a connection of its own, through the virtual IP to an
app with two instances. The lab runs already.
"""

import base64
import json
import ssl
import statistics
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lab import CLUSTER, INVENTORY, STATE, VIP
from measure import Failed, Limit, platform, run, say
from requests_sent import Requests, Streams

EDGES = ("edge-1", "edge-2")
WORKERS = ("workers-1", "workers-2")
PORT = 10_105
NEW_PORT = 10_106
STREAM_PORT = 10_107
SPREAD_PORT = 10_108
VHOST = "bench.example"
MARATHON = 8443

# An HAProxy as a person would set it up, at a port that the edge's firewall leaves to apps.
PLAIN_PORT = 19_999
PLAIN = f"""
global
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 1s
    timeout client 1m
    timeout server 1m
frontend plain
    bind :{PLAIN_PORT} ssl crt /etc/platform/haproxy/tls.pem alpn h2,http/1.1
    default_backend plain
backend plain
"""
# The program and its libraries are those of the edge's own HAProxy.
START_PLAIN = """
tree=$(ls -d /var/lib/platform/trees/haproxy-*)
LD_LIBRARY_PATH=$tree/lib/x86_64-linux-gnu:$tree/usr/lib/x86_64-linux-gnu \\
  "$tree/usr/sbin/haproxy" -D -p /tmp/plain.pid -f /tmp/plain.cfg
"""

# What a server does on SIGTERM.
SERVES_ON = "$SIG{TERM} = sub { alarm 3 }; $SIG{ALRM} = sub { exit 0 };"  # as README.md asks
FINISHES = "$SIG{TERM} = sub { $over = 1 };"
ENDS_AT_ONCE = ""

SERVER = r"""exec perl -MIO::Socket::INET -e '
    ON_SIGTERM
    $SIG{PIPE} = $SIG{CHLD} = "IGNORE";
    $s = IO::Socket::INET->new(LocalPort => $ENV{PORT0}, Listen => 128, ReuseAddr => 1) or die;
    until ($over) {
        $c = $s->accept or next;
        $r = <$c>;
        if ($r =~ m{ /stream }) {
            fork and next;
            $c->autoflush;
            print $c "HTTP/1.0 200 OK\r\n\r\n";
            while (print $c ".\n") { select undef, undef, undef, 0.5 }
            exit;
        }
        print $c "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhere\n";
        close $c;
    }'"""


def measure() -> list[Limit]:
    """All figures, one after another; the lab is whole again after each."""
    bench = App("/bench", PORT)
    bench.runs()
    spread = App("/bench-spread", SPREAD_PORT, is_spread=True)
    spread.runs()
    return [
        new_app(),
        deployments("serve on, forced", bench, 0, is_forced=True),
        deployments("serve on, no checks", replace(bench, has_checks=False), 0),
        deployments("finish and end", replace(bench, on_sigterm=FINISHES), 0),
        deployments("end at once, GET", replace(bench, on_sigterm=ENDS_AT_ONCE), 0),
        deployments("end at once, POST", replace(bench, on_sigterm=ENDS_AT_ONCE), 6, method="POST"),
        *streams(bench),
        beside_plain(bench),
        outage("HAProxy with the virtual IP is killed", 2, kill_haproxy, spread),
        outage("an agent with an instance dies", 2, kill_agent, spread),
        api_outage(spread),
        outage("the edge host with the virtual IP dies", 3, kill_edge, spread),
    ]


def deployments(
    what: str, app: "App", bound: int, *, is_forced: bool = False, method: str = "GET"
) -> Limit:
    """Every 2 s for a minute: each forced over the one before, or once that one has ended."""
    say(f"thirty deployments of apps that {what}")
    app.runs()
    with Requests(VIP, PORT, method) as requests:
        for _ in each_of_thirty():
            app.changes(is_forced)
            if not is_forced:
                app.is_settled()
    app.is_settled()
    # The limits are those of a minute of requests; most of these deployments take longer.
    failed = requests.n_failed() * 12_000 / requests.n_sent()
    return Limit(f"failed of 12,000: {what}", failed, bound, "")


def each_of_thirty() -> Iterator[int]:
    """Numbers, no two within 2 s."""
    for n in range(30):
        begun = time.monotonic()
        yield n
        time.sleep(max(0.0, begun + 2 - time.monotonic()))


def streams(app: "App") -> list[Limit]:
    """Twenty streams of one app, while another is deployed thirty times."""
    say("twenty streams during thirty deployments")
    app.runs()
    held = App("/bench-stream", STREAM_PORT, n_instances=1)
    held.runs()
    with Streams(VIP, STREAM_PORT, 20) as open_streams:
        for _ in each_of_thirty():
            app.changes(is_forced=True)
        n_cut = open_streams.n_cut()
    app.is_settled()
    held.goes()
    # Its master and the one that serves are not old.
    n_old = int(on(holder(), "pgrep -c -x haproxy")) - 2
    return [
        Limit("streams cut of 20, 30 deployments", n_cut, 0, ""),
        Limit("old HAProxy processes after them", n_old, 3, ""),
    ]


def beside_plain(app: "App") -> Limit:
    """Requests a second over TLS, beside an HAProxy that is set up by hand on the same host."""
    say("requests over TLS, beside a plain HAProxy")
    app.runs()
    host = holder()
    servers = "".join(
        f"    server s{n} {task['host']}:{task['ports'][0]}\n"
        for n, task in enumerate(ask("/v2/apps/bench/tasks")["tasks"])
    )
    on(host, f"cat >/tmp/plain.cfg <<'EOF'\n{PLAIN}{servers}EOF\n{START_PLAIN}")
    try:
        until("the plain HAProxy", lambda: requests_over_tls(PLAIN_PORT, 1))
        rates = {443: [], PLAIN_PORT: []}
        for _ in range(3):
            for port, found in rates.items():
                found.append(requests_over_tls(port, 5))
    finally:
        on(host, "kill $(cat /tmp/plain.pid)")
    ours, plain = (statistics.median(found) for found in rates.values())
    say(f"{ours:.0f} requests a second at the edge, {plain:.0f} by the plain HAProxy")
    return Limit("requests over TLS, times a plain HAProxy's", ours / plain, 0.9, "", True)


def requests_over_tls(port: int, seconds: int) -> float:
    """Requests that were answered with 200, a second."""
    words = ["wrk", "-t2", "-c20", f"-d{seconds}s", "-H", f"Host: {VHOST}", f"https://{VIP}:{port}/"]
    said = run(words).output
    if "Non-2xx" in said or "Socket errors" in said:
        raise Failed(f"some requests were not answered:\n{said}")
    return float(said.split("Requests/sec:")[1].split()[0])


def new_app() -> Limit:
    """From its task running to its first answer at its service port."""
    say("a new app")
    app = App("/bench-new", NEW_PORT, n_instances=1)
    app.changes(is_forced=False)
    running = until("its task", lambda: is_running(app.name) and time.monotonic())
    until("its answer", lambda: Requests.one(VIP, NEW_PORT))
    took = time.monotonic() - running
    app.goes()
    return Limit("a new app answers after its task runs", took, 2, "s")


def outage(what: str, bound: float, kill: Callable[[], None], app: "App") -> Limit:
    """From the first failed request after a kill to the last one."""
    say(what)
    with Requests(VIP, app.port) as requests:
        time.sleep(1)
        kill()
        time.sleep(15)
    whole(app)
    return Limit(f"failures after {what}", requests.span_of_failures(), bound, "s")


def kill_haproxy() -> None:
    on(holder(), "pkill -KILL -x haproxy")


def kill_edge() -> None:
    run(["docker", "kill", container(holder())])


def kill_agent() -> None:
    run(["docker", "kill", container(WORKERS[0])])


def api_outage(app: "App") -> Limit:
    """Marathon's leader is killed: from the next leader's first answer to the edge's."""
    say("Marathon's leader is killed")
    before = leader()
    served: dict[str, float] = {}
    members = [f"control-{n}" for n in (1, 2, 3)]

    def watch(host: str) -> None:
        until(f"a leader on {host} or elsewhere", lambda: served or leads(host, before))
        served.setdefault(host, time.monotonic())

    leading = next(host for host in members if address(host) == before)
    on(leading, "systemctl kill --signal=KILL platform-marathon.service")
    threads = [threading.Thread(target=watch, args=(host,)) for host in members]
    for thread in threads:
        thread.start()
    until("Marathon at the edge", lambda: leader() not in (None, before))
    answered = time.monotonic()
    for thread in threads:
        thread.join()
    whole(app)
    took = max(0.0, answered - min(served.values()))
    return Limit("Marathon at the edge after a new leader serves", took, 1, "s")


def leads(host: str, before: str) -> bool:
    """Whether the Marathon of a host leads, by itself."""
    login = (STATE / "secrets" / "marathon-http").read_text().strip()
    login = base64.b64encode(f"platform:{login}".encode()).decode()
    # The password is not in the arguments of a process.
    head = f"GET /v2/leader HTTP/1.0\r\nAuthorization: Basic {login}\r\n\r\n"
    script = f"exec 3<>/dev/tcp/{address(host)}/8080; cat >&3; cat <&3"
    words = ["docker", "exec", "-i", container(host), "bash", "-c", script]
    answer = subprocess.run(words, input=head, capture_output=True, text=True).stdout
    named = f'"{address(host)}:' in answer and address(host) != before
    return named and "X-Marathon-Via" not in answer


def whole(app: "App") -> None:
    """Mends the lab, and waits until all is well and the app runs."""
    platform("up", INVENTORY, "--yes")
    until("all to be well", is_well)
    app.is_settled()


def is_well() -> bool:
    try:
        platform("status", INVENTORY)
    except Failed:
        return False
    return True


@dataclass(frozen=True)
class App:
    """An app that answers every request, at the edge."""

    name: str
    port: int
    n_instances: int = 2
    on_sigterm: str = SERVES_ON
    has_checks: bool = True
    is_spread: bool = False  # one on each host

    def runs(self) -> None:
        """Deploys it, and waits until it answers."""
        self.changes(is_forced=True)
        self.is_settled()
        until(f"{self.name} at the edge", lambda: Requests.one(VIP, self.port))

    def changes(self, is_forced: bool) -> None:
        """Replaces all its tasks."""
        force = "?force=true" if is_forced else ""
        ask(f"/v2/apps{self.name}{force}", "PUT", self.body())

    def is_settled(self) -> None:
        """Waits until all its tasks are new."""
        until(f"{self.name}", lambda: is_running(self.name, self.n_instances))

    def goes(self) -> None:
        ask(f"/v2/apps{self.name}", "DELETE")
        until(f"the end of {self.name}", lambda: not ask("/v2/deployments"))

    def body(self) -> dict:
        check = {
            "protocol": "MESOS_HTTP",
            "path": "/",
            "portIndex": 0,
            "intervalSeconds": 1,
            "delaySeconds": 0,
            "gracePeriodSeconds": 30,
        }
        labels = {"HAPROXY_0_MODE": "http"}
        if self.port == PORT:
            labels["HAPROXY_0_VHOST"] = VHOST
        return {
            "id": self.name,
            "cmd": SERVER.replace("ON_SIGTERM", self.on_sigterm),
            "cpus": 0.1,
            "mem": 32,
            "instances": self.n_instances,
            # A new value makes new tasks.
            "env": {"VERSION": str(time.monotonic_ns())},
            "labels": labels,
            "portDefinitions": [{"port": self.port, "protocol": "tcp"}],
            "taskKillGracePeriodSeconds": 8,
            "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
            "healthChecks": [check] if self.has_checks else [],
            "constraints": [["hostname", "UNIQUE"]] if self.is_spread else [],
        }


def is_running(name: str, n: int = 1) -> bool:
    app = ask(f"/v2/apps{name}")["app"]
    return app["tasksRunning"] >= n and not app["deployments"]


def leader() -> str | None:
    """The address of the Marathon that leads, as the edge says; `None` if it does not answer."""
    try:
        return ask("/v2/leader")["leader"].split(":")[0]
    except (OSError, Failed, KeyError):
        return None


def ask(path: str, method: str = "GET", body: dict | None = None):
    """Marathon's answer through the edge."""
    password = (STATE / "secrets" / "user-adminUser").read_text().strip()
    login = base64.b64encode(f"adminUser:{password}".encode()).decode()
    request = urllib.request.Request(
        f"https://{VIP}:{MARATHON}{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
    )
    context = ssl.create_default_context(cafile=STATE / "ca" / "ca.crt")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=40) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        raise Failed(f"{method} {path} at the edge: {error.code} {said[:500]}") from error


def holder() -> str:
    """The edge host that has the virtual IP."""
    return next(host for host in EDGES if f" {VIP}/" in on(host, "ip -o address"))


def on(host: str, script: str) -> str:
    """Runs a script as root on a machine of the lab, without SSH."""
    return run(["docker", "exec", container(host), "sh", "-c", script]).output


def container(host: str) -> str:
    return f"platform-{CLUSTER}-{host}"


def address(host: str) -> str:
    networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return run(["docker", "inspect", "--format", networks, container(host)]).output.strip()


def until(what: str, look: Callable, deadline: float = 180):
    """What `look` finds, at most this many seconds later."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise Failed(f"{what}: not within {deadline} s")
