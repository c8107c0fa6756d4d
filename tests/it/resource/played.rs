//! The replaced parts of a host: systemd, Docker, apt, the kernel's settings.

use super::host::Host;

/// A unit is a file `/fake/units/NAME` of two words: its state, and whether it starts at boot. A
/// start first runs the commands that the unit's drop-in sets for that. A unit's file is read at
/// its first start, when `/fake/read/NAME` is created, and at each reload. As systemd since
/// version 254, it needs a reload after a unit was enabled.
const SYSTEMCTL: &str = r#"#!/bin/sh
[ "$1" = --quiet ] && shift
root= now= told=1
[ "$1" = --root=/ ] && root=1 && shift
verb=$1
shift
while :; do
  case ${1:-} in
    --now) now=1 ;;
    --no-reload) told= ;;
    *) break ;;
  esac
  shift
done
words() {
  active=inactive boot=
  [ -e "/etc/systemd/system/$1" ] && boot=disabled
  [ ! -e "/fake/units/$1" ] || read -r active boot <"/fake/units/$1"
}
known() { [ -e "/fake/units/$1" ] || [ -e "/etc/systemd/system/$1" ]; }
case $verb in
show)
  shift 3
  for name do
    words "$name"
    load=not-found reload=no
    known "$name" && load=loaded
    [ ! -e /fake/outdated ] || reload=yes
    [ -e "/fake/read/$name" ] && [ "/etc/systemd/system/$name" -nt "/fake/read/$name" ] &&
      [ "/etc/systemd/system/$name" -nt /fake/reloaded ] && reload=yes
    printf 'Id=%s\nLoadState=%s\nActiveState=%s\nUnitFileState=%s\nNeedDaemonReload=%s\n\n' \
      "$name" $load "$active" "$boot" $reload
  done ;;
is-active) words "$1"; echo "$active"; [ "$active" = active ] ;;
cat) known "$1" ;;
daemon-reload) touch /fake/reloaded; rm -f /fake/outdated ;;
reset-failed | kill) ;;
clean) [ "$1" != --what=runtime ] || rm -rf "/fake/runtime/$2" ;;
enable)
  known "$1" || exit 1
  words "$1"
  echo "$active enabled" >"/fake/units/$1"
  [ -n "$root" ] || touch /fake/outdated
  [ -n "$root" ] || [ -z "$told" ] || "$0" daemon-reload
  [ -z "$now" ] || "$0" start "$1" ;;
disable) rm -f "/fake/units/$1" "/fake/read/$1"; known "$1" ;;
start | restart)
  known "$1" || exit 5
  [ ! -e "/fake/fails/$1" ] || { echo "Job for $1 failed." >&2; exit 1; }
  sed -n 's/^ExecStartPre=+//p' "/etc/systemd/system/$1.d/50-platform.conf" 2>/dev/null | sh
  words "$1"
  [ -e "/fake/read/$1" ] || touch "/fake/read/$1"
  echo "active $boot" >"/fake/units/$1" ;;
*) echo "systemctl $verb is not played" >&2; exit 64 ;;
esac
"#;

/// An image is a file `/fake/images/ID`; the meaning of a reference is in `/fake/registry/NAME`.
/// A container of a task is a file `/fake/containers/ID` with its mounts.
const DOCKER: &str = r#"#!/bin/sh
case "$*" in
"info --format"*) [ ! -e /fake/engine ] || cat /fake/engine ;;
version*) echo 20.10.24 ;;
"image inspect --format"*)
  shift 4
  found=0
  for id do
    [ -e "/fake/images/$id" ] && printf '{"q":"image","id":"%s","present":true}\n' "$id" || found=1
  done
  [ $found = 0 ] || { echo; exit 1; } ;;
"image inspect"*) [ -e "/fake/images/$3" ] ;;
"image rm"*) rm "/fake/images/$4" ;;
"ps --all --no-trunc --filter label=MESOS_TASK_ID --format {{.ID}} {{.Mounts}}")
  (cd /fake/containers 2>/dev/null && grep '' ./* | sed 's|^./||; s|:| |') || true ;;
"rm --force --volumes "*)
  shift 3
  for id do rm "/fake/containers/$id"; done ;;
"rm --force platform-unpack") rm -f /fake/unpacking ;;
"create --name platform-unpack "*)
  [ -e "/fake/images/$4" ] && [ ! -e /fake/unpacking ] || { echo "no such image" >&2; exit 1; }
  echo "$4" >/fake/unpacking
  echo 1f2e ;;
"export platform-unpack") tar -C "/fake/trees/$(cat /fake/unpacking)" -cf - . ;;
"--config /etc/platform/docker pull --quiet"*)
  name=${5%%/*}
  [ -e "/fake/registry/$name" ] || { echo "$name: connection refused" >&2; exit 1; }
  touch "/fake/images/$(cat "/fake/registry/$name")" ;;
*) echo "docker $* is not played" >&2; exit 64 ;;
esac
"#;

/// A package is a file `/fake/packages/NAME`; `/fake/depends/NAME` contains its dependencies, and
/// `/fake/brings/NAME` is the command `tool`, if it installs that. Like apt, it knows no package
/// before an update. `/fake/locked` is how often its lists are found locked, `/fake/dead-source`
/// its message about a source; `/fake/stale` exists while they are older than the mirror, and
/// `/fake/unreachable` while no package can be fetched. dpkg itself is real.
const APT_GET: &str = r#"#!/bin/sh
simulate=
while [ $# -gt 0 ]; do
  case $1 in
  -s) simulate=1 ;;
  install | purge | update) verb=$1 ;;
  -o) shift ;;
  -*) ;;
  *) names="${names:-} $1" ;;
  esac
  shift
done
names=${names:-}
installed() {
  : >/var/lib/dpkg/status
  for file in /fake/packages/*; do
    [ -e "$file" ] || continue
    printf 'Package: %s\nStatus: install ok installed\nMaintainer: t\nArchitecture: all\nVersion: 1.0\nDescription: t\n\n' \
      "${file##*/}" >>/var/lib/dpkg/status
  done
}
case $verb in
update)
  if [ -s /fake/locked ]; then
    read -r tries </fake/locked
    echo $((tries - 1)) >/fake/locked
    [ "$tries" -le 0 ] || {
      echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 77 (perl)"
      exit 100
    }
  fi
  touch /fake/updated
  rm -f /fake/stale
  [ ! -e /fake/dead-source ] || { cat /fake/dead-source; exit 100; } ;;
install)
  version=1.0
  [ ! -e /fake/stale ] || version=0.9
  [ -n "$simulate" ] || [ ! -e /fake/stale ] || { echo "E: Failed to fetch: 404 Not Found"; exit 100; }
  [ -n "$simulate" ] || [ ! -e /fake/unreachable ] || { echo "E: Failed to fetch"; echo >>/fake/unreachable; exit 100; }
  for name in $names; do
    [ -e /fake/updated ] && [ "$name" != nowhere ] ||
      { echo "E: Unable to locate package $name"; exit 100; }
    for each in $(cat "/fake/depends/$name" 2>/dev/null) "$name"; do
      [ -e "/fake/packages/$each" ] && continue
      if [ -n "$simulate" ]; then echo "Inst $each ($version Debian:12 [all])"; else
        touch "/fake/packages/$each"
        [ ! -e "/fake/brings/$each" ] || cp -a "/fake/brings/$each" /usr/local/bin/tool
      fi
    done
  done
  [ -n "$simulate" ] || installed ;;
purge)
  for name in $names; do
    for file in /fake/depends/*; do
      needs=${file##*/}
      case " $names " in *" $needs "*) continue ;; esac
      if [ -e "/fake/packages/$needs" ] && grep -qw "$name" "$file"; then
        if [ -n "$simulate" ]; then echo "Remv $needs [1.0]"; else rm -f "/fake/packages/$needs"; fi
      fi
    done
    if [ -n "$simulate" ]; then echo "Purg $name [1.0]"; else rm -f "/fake/packages/$name"; fi
  done
  [ -n "$simulate" ] || installed ;;
esac
"#;

/// The recommendations of a package are in `/fake/recommends/NAME`.
const APT_CACHE: &str = r#"#!/bin/sh
case $1 in
policy) printf '%s:\n  Installed: (none)\n  Candidate: 20.10.24\n' "$2" ;;
depends)
  echo "$3"
  for each in $(cat "/fake/recommends/$3" 2>/dev/null); do echo "  Recommends: $each"; done ;;
esac
"#;

/// The kernel's settings are plain files.
const SYSCTL: &str = r#"#!/bin/sh
setting=${3%%=*}
path=/proc/sys/$(printf %s "$setting" | tr . /)
[ -e "$path" ] || { echo "sysctl: cannot stat $path: No such file or directory" >&2; exit 255; }
printf '%s\n' "${3#*=}" | tr ' ' '\t' >"$path"
"#;

const JOURNALCTL: &str = "#!/bin/sh\necho 'the last words of the unit'\n";

/// Counts down at each call, and at the end kills every process of the run at once.
const MORTAL: &str = r#"#!/bin/sh
read -r lives </fake/lives
echo $((lives - 1)) >/fake/lives
[ "$lives" -gt 0 ] || kill -9 0
for folder in /usr/local/bin /usr/sbin /usr/bin; do
  [ ! -x "$folder/${0##*/}" ] || exec "$folder/${0##*/}" "$@"
done
"#;

/// The programs with which the scripts change things.
const CHANGING: [&str; 9] =
    ["chmod", "chown", "cp", "install", "mkdir", "mv", "rm", "rmdir", "systemctl"];

/// Installs all of it on a host.
pub(super) fn install(host: &Host) {
    for (name, text) in [
        ("systemctl", SYSTEMCTL),
        ("docker", DOCKER),
        ("apt-get", APT_GET),
        ("apt-cache", APT_CACHE),
        ("sysctl", SYSCTL),
        ("journalctl", JOURNALCTL),
    ] {
        host.program(&format!("/local/bin/{name}"), text);
    }
    for folder in ["units", "read", "fails", "images", "registry", "packages", "depends"]
        .map(|f| format!("/fake/{f}"))
    {
        host.dir(&folder);
    }
    for folder in ["/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/etc/systemd/system"] {
        host.dir(folder);
    }
    host.dir("/etc/sysctl.d");
    host.dir("/run/systemd/system");
    for (path, text) in [
        ("/fake/reloaded", ""),
        (
            "/fake/engine",
            "20.10.24 [name=seccomp,profile=default] [[Backing Filesystem extfs]]\n",
        ),
        ("/var/lib/dpkg/status", ""),
        ("/etc/os-release", "PRETTY_NAME=\"A \\\"test\\\" host\"\n"),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
        (
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/usr/sbin/nologin\n",
        ),
        ("/etc/group", "root:x:0:\ndaemon:x:1:\n"),
        ("/etc/login.defs", "USERGROUPS_ENAB yes\nSYS_UID_MIN 100\nSYS_UID_MAX 999\n"),
        ("/proc/meminfo", "MemTotal:        2048000 kB\nMemFree: 1 kB\n"),
        ("/proc/sys/vm/swappiness", "60\n"),
        ("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ] {
        host.write(path, text.as_bytes());
    }
}

/// Makes every program with which the scripts change things count down.
pub(super) fn mortal(host: &Host) {
    for name in CHANGING {
        host.program(&format!("/local/sbin/{name}"), MORTAL);
    }
}
