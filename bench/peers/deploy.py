"""The same that .work/given.yaml asks for, for pyinfra."""

from pyinfra import host
from pyinfra.operations import files, server, systemd

server.user(
    name="user",
    user="ticker",
    system=True,
    shell="/usr/sbin/nologin",
    home="/",
    ensure_home=False,
    create_home=False,
    _sudo=True,
)
files.put(
    name="file",
    src=host.data.payload,
    dest="/opt/ticker.bin",
    user="ticker",
    group="ticker",
    mode="640",
    _sudo=True,
)
files.template(
    name="template",
    src="files/ticker.conf",
    dest="/etc/ticker.conf",
    user="root",
    group="root",
    mode="644",
    _sudo=True,
)
unit_file = files.put(
    name="unit file",
    src="files/ticker.service",
    dest="/etc/systemd/system/ticker.service",
    user="root",
    group="root",
    mode="644",
    _sudo=True,
)
systemd.daemon_reload(name="reload", _sudo=True, _if=unit_file.did_change)
systemd.service(
    name="unit", service="ticker.service", running=True, enabled=True, _sudo=True
)
