# Makes the changes of one stage on this host. Sent by platform as the first entry of a tar
# stream with the contents of files beside it; the steps that call these functions follow.
set -u
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DOCKER_HOST=unix:///var/run/docker.sock
home=/var/lib/platform
manifest=$home/manifest
staged=$PWD
newline='
'

# Notes a thing as ours, before it is made: a run that dies in between loses nothing.
record() {
  is_ours "$1" || add "$1"
}

# Whether a thing is on the record. What this shell has read of it may be old: other steps note
# things too, each in a shell of its own.
is_ours() {
  is_known "$1" || {
    reread
    is_known "$1"
  }
}

is_known() {
  case $newline$known$newline in
    *"$newline$1$newline"*) ;;
    *) return 1 ;;
  esac
}

known=
reread() {
  known=$(cat -- "$manifest" 2>/dev/null) || known=
}

# Puts lines on the record, of which $known is all. A whole new record takes the old one's
# place: half a line, as a full disk leaves it, could not be read.
add() {
  known=${known:+$known$newline}$1
  printf '%s\n' "$known" >"$manifest.new" && sync "$manifest.new" &&
    mv -f -- "$manifest.new" "$manifest"
}

# What the steps to come will bring is noted at once: each note costs a host three programs.
# Every step looks again, and notes what was not seen here.
claimed=
claim() {
  case $newline$known$newline$claimed$newline in
    *"$newline$1$newline"*) ;;
    *) claimed=${claimed:+$claimed$newline}$1 ;;
  esac
}

# claim_user NAME RECORD
claim_user() {
  getent passwd "$1" >/dev/null || claim "$2"
}

# claim_directory PATH RECORD
claim_directory() {
  [ -e "$1" ] || [ -L "$1" ] || {
    claim_parents "$1"
    claim "$2"
  }
}

# claim_file PATH RECORD — what stands in the way of a file is not to be ours.
claim_file() {
  if is_known "$2" || { [ -d "$1" ] && [ ! -L "$1" ]; }; then return; fi
  claim_parents "$1"
  keep_original "$1"
  claim "$2"
}

claim_parents() {
  parent=${1%/*}
  [ -z "$parent" ] || [ -e "$parent" ] && return
  claim_parents "$parent"
  parent=${1%/*}
  claim "$(directory_record "$parent")"
}

note_claims() {
  [ -z "$claimed" ] || add "$claimed"
}

# Takes a thing off the record, after it is gone. To find no other line is no failure.
forget() {
  [ -e "$manifest" ] || return 0
  others=0
  grep -Fxv -- "$1" "$manifest" >"$manifest.new" || others=$?
  case $others in
    0)
      sync "$manifest.new"
      mv -f -- "$manifest.new" "$manifest"
      ;;
    1) tidy ;;
    *) return $others ;;
  esac
}

# Leaves no trace of this program but the lock, which is held to the end; the record goes last,
# so that a run that dies before leaves something on it for the next one to take back.
tidy() {
  rm -rf -- "$home/original" "$home/generation"
  rm -f -- "$manifest" "$manifest.new"
}

# The line for a directory that is made on the way to a file.
directory_record() {
  printf '{"q":"ours","kind":"directory","path":"%s","data":false}' "$1"
}

# Makes the missing directories above a path, and notes them.
make_parents() {
  parent=${1%/*}
  [ -z "$parent" ] || [ -d "$parent" ] && return
  make_parents "$parent"
  parent=${1%/*}
  record "$(directory_record "$parent")"
  mkdir -m 755 -- "$parent"
}

# take PATH RECORD — notes a path as ours, what was there before the first run kept.
take() {
  is_ours "$2" || {
    keep_original "$1"
    add "$2"
  }
}

# Keeps what is at a path that is not on the record yet; a copy that an earlier run left of
# another is of something older.
keep_original() {
  [ ! -e "$home/original$1" ] && [ ! -L "$home/original$1" ] || rm -f -- "$home/original$1"
  if [ -e "$1" ] || [ -L "$1" ]; then
    mkdir -p -- "$home/original${1%/*}"
    cp -a -- "$1" "$home/original$1"
    sync -f "$home"
  fi
}

# write_file CONTENT PATH MODE OWNER:GROUP RECORD DIRECTORY… — the old file or the new one, never
# a part. A file that belongs to a component's data has no record of its own: it stays with the
# data. The last of a stage's files is followed by the directories of all: only then is what
# they hold safe from a loss of power, and only then does a unit start that reads it.
write_file() {
  [ -d "$2" ] && [ ! -L "$2" ] && { echo "$2 is a directory: move it away first"; return 1; }
  make_parents "$2"
  [ -z "$5" ] || take "$2" "$5"
  new=$2.platform-new
  trap 'rm -f -- "$new"' EXIT
  install -T -m "$3" -o "${4%:*}" -g "${4#*:}" -- "$staged/$1" "$new"
  sync "$new"
  mv -fT -- "$new" "$2"
  trap - EXIT
  shift 5
  [ $# = 0 ] || sync -- "$@"
}

# set_access PATH MODE OWNER:GROUP RECORD — for a file that has the right content.
set_access() {
  [ -z "$4" ] || take "$1" "$4"
  chown -- "$3" "$1"
  chmod -- "$2" "$1"
}

# remove_path PATH — a file or a link that a component left; it is on no record.
remove_path() {
  rm -f -- "$1"
  sync "${1%/*}/"
}

# write_boot CONTENT PATH RECORD DIRECTORY — a drop-in of GRUB, which counts once GRUB has made
# its own file of it.
write_boot() {
  write_file "$1" "$2" 644 root:root "$3" "$4"
  update_grub
}

# update-grub replaces what the machine boots from: it has to be safe before the next step.
update_grub() {
  update-grub
  sync -f /boot/grub/grub.cfg
}

# restore_boot PATH RECORD — the record goes last: cut off before, it is done again. Where GRUB never
# took the setting over, it has nothing to give back.
restore_boot() {
  put_back "$1"
  if command -v update-grub >/dev/null &&
    grep -Fqs systemd.unified_cgroup_hierarchy=0 /boot/grub/grub.cfg; then
    update_grub
  fi
  forget "$2"
  rm -f -- "$home/original$1"
}

# reboot_machine BOOT — unless it was booted since. The machine goes down a moment later, so that
# it can still say that it will.
reboot_machine() {
  read -r boot </proc/sys/kernel/random/boot_id
  [ "$boot" = "$1" ] || return 0
  systemd-run --quiet --collect --on-active=2s --timer-property=AccuracySec=100ms systemctl reboot
}

# restore_file PATH RECORD — the copy goes last: as long as the path is on the record, a run
# that finds no copy takes the path away.
restore_file() {
  put_back "$1"
  forget "$2"
  rm -f -- "$home/original$1"
}

# Puts back what was at a path before the first run.
put_back() {
  new=$1.platform-new
  trap 'rm -f -- "$new"' EXIT
  rm -f -- "$new"
  if [ -e "$home/original$1" ] || [ -L "$home/original$1" ]; then
    cp -a -- "$home/original$1" "$new"
    sync -f "${1%/*}/"
    mv -fT -- "$new" "$1"
  else
    rm -f -- "$1"
  fi
}

# make_directory PATH MODE OWNER:GROUP RECORD
make_directory() {
  if [ ! -d "$1" ]; then
    [ -e "$1" ] && { echo "$1 is not a directory: move it away first"; return 1; }
    make_parents "$1"
    record "$4"
    mkdir -- "$1"
  fi
  chown -- "$3" "$1"
  chmod -- "$2" "$1"
}

remove_directory() {
  if [ "$2" = contents ]; then rm -rf -- "$1"; fi
  [ ! -d "$1" ] || rmdir --ignore-fail-on-non-empty -- "$1"
  forget "$3"
}

add_user() {
  if getent passwd "$1" >/dev/null; then
    usermod --shell "$2" -- "$1"
  else
    record "$3"
    useradd --system --user-group --no-create-home --home-dir / --shell "$2" -- "$1"
  fi
}

remove_user() {
  getent passwd "$1" >/dev/null && userdel -- "$1"
  forget "$2"
}

# set_sysctl CONTENT PATH NAME VALUE RECORD — the first record holds the host's own value.
set_sysctl() {
  grep -Fq "\"kind\":\"sysctl\",\"name\":\"$3\"" "$manifest" 2>/dev/null || record "$5"
  new=$2.platform-new
  trap 'rm -f -- "$new"' EXIT
  cp -- "$staged/$1" "$new"
  chmod 644 "$new"
  mv -fT -- "$new" "$2"
  sysctl -q -w "$3=$4"
}

# restore_sysctl FILE KERNEL'S-FILE NAME VALUE RECORD — there is nothing to restore where the
# kernel does not have the setting, or has that value. Where the value was not known, the host's
# own files give it one at boot. A setting that the kernel does not take back stays on record:
# some can be set only once until the next boot.
restore_sysctl() {
  rm -f -- "$1"
  if [ -e "$2" ] && [ "$(tr -s '\t\n' '  ' <"$2" | sed 's/ *$//')" != "$4" ]; then
    sysctl -q -w "$3=$4" || [ -z "$4" ] || { echo "stays until the next boot"; return 0; }
  fi
  forget "$5"
}

# record_package MANAGER NAME ASKED
record_package() {
  record "{\"q\":\"ours\",\"kind\":\"package\",\"manager\":\"$1\",\"name\":\"$2\",\"asked\":\"$3\"}"
}

# A mirror that does not answer is given up after half a minute; what the host's own settings
# say of that counts more.
apt() {
  cat >"$staged/apt.conf" <<'END'
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
Acquire::Retries "1";
END
  DEBIAN_FRONTEND=noninteractive APT_CONFIG=$staged/apt.conf apt-get -q -y \
    -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@"
}

# patiently COMMAND… — again, as long as another process holds a lock, for two minutes: apt waits
# for some of its locks by itself, not for that of its lists. It says who holds them.
patiently() {
  deadline=$(($(date +%s) + 120))
  while :; do
    status=0
    words=$("$@" 2>&1) || status=$?
    case $status:$words in
      0:*) break ;;
      *'E: Could not get lock'* | *'lock was locked by'* | *'lock is locked by'*) ;;
      *) break ;;
    esac
    [ "$(date +%s)" -lt $deadline ] || {
      words="gave up after two minutes: another process holds the lock$newline$words"
      break
    }
    sleep 1
  done
  printf '%s\n' "$words"
  return $status
}

# Reads the package lists anew. Of all sources only those count that a package comes from: what
# apt says against any is kept, to be told where a package cannot be had.
complaints=
refresh_lists() {
  complaints=$(patiently apt update | grep -E '^(gave up|[EW]:)' | tail -n 12)
}

# tell WORDS — why a package cannot be had, with what may be the cause.
tell() {
  printf '%s\n' "$1"
  [ -z "$complaints" ] || printf 'the package lists could not all be read:\n%s\n' "$complaints"
}

# plan_packages NAME [COMMAND PACKAGE] — sets $packages, what apt is asked for, and $planned, what
# it would do. The engine must take the place of no other: whoever has one decides on that.
plan_packages() {
  packages=$1 keep=
  if [ $# = 3 ]; then
    keep=--no-remove
    if apt-cache depends -- "$1" 2>/dev/null | grep -q "Recommends: $3\$"; then
      if is_installed "$1"; then packages=$3; else packages="$1 $3"; fi
    fi
  fi
  planned=$(apt $keep --no-install-recommends -s install -- $packages 2>&1)
}

# apt_install NAME [COMMAND PACKAGE] — with PACKAGE, which brings COMMAND, where the distribution
# made two packages of one and only recommends it. What came with a package goes with it, so all
# of it is noted before the first of it comes.
apt_install() {
  note_before_engine "$1"
  if [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ] || dpkg --audit | grep -q .; then
    patiently dpkg --force-confold --configure -a
  fi
  plan_packages "$@" || {
    refresh_lists
    plan_packages "$@" || {
      tell "$planned"
      return 1
    }
  }
  fetch_packages "$1" || {
    stale=$planned
    refresh_lists
    # Where the lists were not old, there is nothing else to fetch.
    { plan_packages "$@" && [ "$planned" != "$stale" ] && fetch_packages "$1"; } || {
      tell "$said"
      return 1
    }
  }
  has_brought "$@"
}

# fetch_packages NAME — installs what was planned for it; $said is what apt says.
fetch_packages() {
  said="cannot write the record $manifest"
  for name in $(printf '%s\n' "$planned" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p'); do
    record_package apt "$name" "$1" || return 1
  done
  said=$(patiently apt $keep --no-install-recommends install -- $packages)
}

# has_brought NAME [COMMAND PACKAGE] — whether an installed package brought its command.
has_brought() {
  [ $# = 1 ] || command -v "$2" >/dev/null || {
    echo "the package $1 brought no \`$2\` command"
    return 1
  }
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

known_to_dpkg() {
  dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -q .
}

# Packages that would go with these, and are not to.
others_than() {
  apt -s purge -- "$@" | sed -n 's/^Purg \([^ ]*\) .*/\1/p; s/^Remv \([^ ]*\) .*/\1/p' |
    while read -r name; do
      case " $going " in *" $name "*) ;; *) printf '%s ' "$name" ;; esac
    done
}

# leave_package NAME NEEDED_BY… — it goes with what needs it, where that is ours.
leave_package() {
  left=$1
  shift
  echo "left installed: needed by $*"
  for other do
    if grep -Fq "\"name\":\"$other\",\"asked\"" "$manifest"; then
      record_package apt "$left" "$other"
    fi
  done
}

# Takes all packages that are to go at once: each run of apt costs seconds. One that others
# need by now is left to them.
apt_remove() {
  if known_to_dpkg "$1"; then
    ! engine_goes || clear_after_engine
    known=$(for name in $going; do if known_to_dpkg "$name"; then echo "$name"; fi; done)
    if [ -z "$(others_than $known)" ]; then
      apt purge -- $known
    else
      others=$(others_than "$1")
      if [ -n "$others" ]; then
        leave_package "$1" $others
      else
        apt purge -- "$1"
      fi
    fi
  fi
  forget "$2"
}

# dnf_install NAME [COMMAND PACKAGE]
dnf_install() {
  note_before_engine "$1"
  rpm -qa --qf '%{NAME}\n' | sort >"$staged/.before"
  record_package dnf "$1" "$1"
  patient_dnf -- "$1"
  [ $# = 1 ] || command -v "$2" >/dev/null || patient_dnf -- "$3"
  rpm -qa --qf '%{NAME}\n' | sort | comm -13 "$staged/.before" - | while read -r name; do
    record_package dnf "$name" "$1"
  done
  has_brought "$@"
}

# A mirror that does not answer is given up, and another vendor's dead source is no concern.
patient_dnf() {
  dnf -q -y install --setopt=install_weak_deps=False --setopt=timeout=15 --setopt=retries=2 \
    --setopt='*.skip_if_unavailable=1' "$@"
}

dnf_remove() {
  if rpm -q -- "$1" >/dev/null; then
    ! engine_goes || clear_after_engine
    dnf -q -y remove --noautoremove -- "$1"
  fi
  forget "$2"
}

# Whether the container engine is among the packages that go.
engine_goes() {
  case " $going " in *" docker.io "* | *" moby-engine "*) ;; *) return 1 ;; esac
}

# note_before_engine PACKAGE — an engine switches forwarding on, and then closes the firewall's
# FORWARD chain.
note_before_engine() {
  case $1 in docker.io | moby-engine) ;; *) return 0 ;; esac
  [ ! -e "$home/original/forwarding" ] || return 0
  mkdir -p -- "$home/original"
  cat /proc/sys/net/ipv4/ip_forward >"$home/original/forwarding.new"
  mv -fT -- "$home/original/forwarding.new" "$home/original/forwarding"
}

# Takes away what an engine makes by itself and its packages leave behind: its network, its
# rules in the firewall, its state. To be done while the firewall's tools are there.
clear_after_engine() {
  systemctl --quiet stop docker.socket docker.service containerd.service || true
  umount /run/docker/netns/default 2>/dev/null || true
  ip link delete docker0 2>/dev/null || true
  for firewall in iptables ip6tables; do
    if command -v $firewall-save >/dev/null; then
      $firewall-save | grep -Ev '(^:| )DOCKER(-[A-Z0-9-]+)?( |$)|docker0' | $firewall-restore
    fi
  done
  if [ "$(cat "$home/original/forwarding" 2>/dev/null)" = 0 ]; then
    sysctl -q -w net.ipv4.ip_forward=0
    iptables --policy FORWARD ACCEPT
  fi
  rm -rf -- /var/lib/containerd /run/containerd /run/docker "$home/original/forwarding"
  rm -f -- /etc/docker/key.json
  [ ! -d /etc/docker ] || rmdir --ignore-fail-on-non-empty /etc/docker
}

# pull_image RECORD REFERENCE… — from the first registry that has it.
pull_image() {
  record "$1"
  shift
  for reference do
    docker --config /etc/platform/docker pull --quiet "$reference" && return
  done
  return 1
}

remove_image() {
  if ! engine_goes && docker image inspect "$1" >/dev/null 2>&1; then
    docker image rm --force "$1"
  fi
  forget "$2"
}

# unpack_tree PATH IMAGE RECORD — all of the image's file system, or nothing: one that is there is
# whole, since it gets its name last. The container is never started; it is a name for what
# `export` reads.
unpack_tree() {
  if [ -e "$1" ] || [ -L "$1" ]; then
    [ -d "$1" ] && [ ! -L "$1" ] || { echo "$1 is not a directory: move it away first"; return 1; }
    record "$3"
    return 0
  fi
  make_parents "$1"
  record "$3"
  new=$1.platform-new
  trap 'docker rm --force platform-unpack >/dev/null 2>&1; rm -rf -- "$new"' EXIT
  docker rm --force platform-unpack >/dev/null 2>&1 || true
  rm -rf -- "$new"
  mkdir -m 755 -- "$new"
  docker create --name platform-unpack "$2" none >/dev/null
  docker export platform-unpack | tar -x -p --numeric-owner -C "$new" -f -
  sync -f "$new"
  mv -T -- "$new" "$1"
  sync "${1%/*}/"
}

# Whether any process runs from a tree: one whose root has the same inode.
is_in_use() {
  [ -d "$1" ] || return 1
  stat -L -c %d:%i /proc/[0-9]*/root 2>/dev/null | grep -Fxq "$(stat -c %d:%i "$1")"
}

# remove_tree PATH RECORD — one from which something still runs stays on the record.
remove_tree() {
  if is_in_use "$1"; then
    echo "stays: processes still run from it"
    return 0
  fi
  rm -rf --one-file-system -- "$1" "$1.platform-new"
  [ ! -d "${1%/*}" ] || rmdir --ignore-fail-on-non-empty "${1%/*}"
  forget "$2"
}

# start_unit NAME start|restart new|known|'' failed|'' RECORD — without a record where it ran
# before.
start_unit() {
  [ -z "$5" ] || record "$5"
  [ -z "$4" ] || systemctl reset-failed "$1"
  # Being enabled is for the next boot. Of a new unit only the links are made: once systemd has
  # made them itself, it wants all units read again. One that it knows it has to be told of.
  case $3 in
    new) systemctl --quiet --root=/ enable "$1" ;;
    known) systemctl --quiet enable "$1" ;;
  esac && systemctl "$2" "$1" || {
    journalctl --no-pager --lines 20 --output cat --unit "$1"
    return 1
  }
}

stop_unit() {
  systemctl --quiet disable --now "$1" || ! systemctl cat "$1" >/dev/null 2>&1
  # A unit may leave processes behind on purpose, for its next start: there is none.
  systemctl kill --signal=SIGKILL "$1" 2>/dev/null || true
  systemctl reset-failed "$1" 2>/dev/null || true
  # What a unit keeps in /run between its starts goes too; most keep nothing there.
  systemctl clean --what=runtime "$1" 2>/dev/null || true
  case $1 in platform-mesos-agent.service) end_tasks ;; esac
  forget "$2"
}

# The containers of the agent's tasks: each outlives the agent, and the executor that waits for
# its end. Those of another agent have their sandboxes elsewhere, and stay.
end_tasks() {
  command -v docker >/dev/null || return 0
  containers=$(docker ps --all --no-trunc --filter label=MESOS_TASK_ID \
    --format '{{.ID}} {{.Mounts}}' |
    sed -n 's|^\([0-9a-f]*\) .*/var/lib/platform/mesos-agent/.*|\1|p')
  [ -z "$containers" ] || docker rm --force --volumes $containers
}

# step NUMBER — runs step_NUMBER and says how it went; the first failure ends the stage. What
# it says is kept in memory: a full disk must not keep it from being heard. Its end is sent, and
# one byte more where that is not all: who reads it leaves out the line that was cut.
step() {
  printf '{"step":%d,"state":"started"}\n' "$1"
  said=$(
    exec 2>&1 </dev/null 9>&-
    set -e
    "step_$1"
  )
  status=$?
  if [ $status = 0 ]; then
    printf '{"step":%d,"state":"done"}\n' "$1"
  else
    printf '{"step":%d,"state":"failed","status":%d,"said":"%s"}\n' "$1" $status \
      "$(printf %s "$said" | tail -c 16385 | base64 -w0)"
    [ -s "$manifest" ] || tidy
    exit 1
  fi
}

# A plan is good only for the state that it was made for.
found=
[ ! -r "$home/generation" ] || read -r found <"$home/generation"
if [ "$found" != "$expected" ]; then
  printf '{"refused":"another run of platform changed this host since it was looked at"}\n'
  exit 1
fi
printf '%s\n' "$next" | dd of="$home/generation.new" status=none &&
  mv -f -- "$home/generation.new" "$home/generation" || exit 1
