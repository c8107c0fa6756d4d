"""What users of the rehearsal's edge notice when something dies or is deployed.

A client sends 200 requests a second, each on a connection of its own, through the virtual IP to an
app with two instances. The lab runs already.
"""

import base64
import json
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from lab import CLUSTER, INVENTORY, STATE, VIP
from measure import Failed, Limit, platform, run, say
from requests_sent import Requests

EDGES = ("edge-1", "edge-2")
WORKERS = ("workers-1", "workers-2")
PORT = 10_105
NEW_PORT = 10_106
MARATHON = 8443

# Serves on for 3 s after SIGTERM, as README.md asks of an app that loses nothing.
SERVER = r"""exec perl -MIO::Socket::INET -e '
    $SIG{TERM} = sub { alarm 3 };
    $SIG{ALRM} = sub { exit 0 };
    $SIG{PIPE} = "IGNORE";
    $s = IO::Socket::INET->new(LocalPort => $ENV{PORT0}, Listen => 128, ReuseAddr => 1) or die;
    while (1) {
        $c = $s->accept or next;
        $r = <$c>;
        print $c "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhere\n";
        close $c;
    }'"""


def measure() -> list[Limit]:
    """All figures, one after another; the lab is whole again after each."""
    deploy("/bench", PORT, 2, "0")
    until("the app at the edge", lambda: Requests.one(VIP, PORT))
    return [
        new_app(),
        deployments(),
        outage("HAProxy with the virtual IP is killed", 2, kill_haproxy),
        outage("an agent with an instance dies", 2, kill_agent),
        api_outage(),
        outage("the edge host with the virtual IP dies", 3, kill_edge),
    ]


def deployments() -> Limit:
    """Every 2 s for a minute, each forced over the one before."""
    say("a deployment every 2 s for a minute")
    with Requests(VIP, PORT) as requests:
        for n in range(1, 31):
            begun = time.monotonic()
            deploy("/bench", PORT, 2, str(n), force=True)
            time.sleep(max(0.0, begun + 2 - time.monotonic()))
    what = f"failed of {requests.n_sent()} requests, 30 deployments"
    until("the last deployment", lambda: not ask("/v2/deployments"))
    return Limit(what, requests.n_failed(), 0, "")


def new_app() -> Limit:
    """From its task running to its first answer at its service port."""
    say("a new app")
    deploy("/bench-new", NEW_PORT, 1, "0")
    running = until("its task", lambda: is_running("/bench-new") and time.monotonic())
    until("its answer", lambda: Requests.one(VIP, NEW_PORT))
    took = time.monotonic() - running
    ask("/v2/apps/bench-new", "DELETE")
    return Limit("a new app answers after its task runs", took, 2, "s")


def outage(what: str, bound: float, kill: Callable[[], Callable[[], None]]) -> Limit:
    """From the first failed request after a kill to the last one."""
    say(what)
    with Requests(VIP, PORT) as requests:
        time.sleep(1)
        mend = kill()
        time.sleep(15)
    mend()
    return Limit(f"failures after {what}", requests.span_of_failures(), bound, "s")


def kill_haproxy() -> Callable[[], None]:
    on(holder(), "pkill -KILL -x haproxy")
    return whole


def kill_edge() -> Callable[[], None]:
    host = holder()
    run(["docker", "kill", container(host)])
    return whole


def kill_agent() -> Callable[[], None]:
    run(["docker", "kill", container(WORKERS[0])])
    return whole


def api_outage() -> Limit:
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
    whole()
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


def whole() -> None:
    """Mends the lab, and waits until all is well."""
    platform("up", INVENTORY, "--yes")
    until("all to be well", is_well)
    until("both instances", lambda: is_running("/bench", 2))


def is_well() -> bool:
    try:
        platform("status", INVENTORY)
    except Failed:
        return False
    return True


def deploy(name: str, port: int, n: int, version: str, force: bool = False) -> None:
    app = {
        "id": name,
        "cmd": SERVER,
        "cpus": 0.1,
        "mem": 32,
        "instances": n,
        "env": {"VERSION": version},
        "portDefinitions": [{"port": port, "protocol": "tcp"}],
        "taskKillGracePeriodSeconds": 8,
        "upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
        "healthChecks": [
            {
                "protocol": "MESOS_HTTP",
                "path": "/",
                "portIndex": 0,
                "intervalSeconds": 1,
                "delaySeconds": 0,
                "gracePeriodSeconds": 30,
            }
        ],
    }
    ask(f"/v2/apps{name}" + ("?force=true" if force else ""), "PUT", app)


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
