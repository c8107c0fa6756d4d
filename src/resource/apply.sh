# Makes the changes of one stage on this host. Platform sends it as the first entry of a tar
# stream, with the contents of files beside it. The steps that call these functions follow.
set -u
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export DOCKER_HOST=unix:///var/run/docker.sock
home=/var/lib/platform
manifest=$home/manifest
staged=$PWD
newline='
'

# Records a thing as ours before it is made, so that a run that dies in between loses nothing.
record() {
  is_ours "$1" || add "$1"
}

# Whether a thing is on the record. The copy in this shell may be old: other steps also record
# things, each in its own shell.
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

# Adds lines to the record; $known is all of it. A complete new file replaces the old one, as half
# a line, which a full disk may leave, could not be read.
add() {
  known=${known:+$known$newline}$1
  printf '%s\n' "$known" >"$manifest.new" && sync "$manifest.new" &&
    mv -f -- "$manifest.new" "$manifest"
}

# What later steps will make is recorded at once, because each write starts three programs. Every
# step checks again, and records what was missed here.
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

# claim_file PATH RECORD — a directory that is in the way of a file must not become ours.
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

# Removes a thing from the record, after it is gone. It is no failure if no other line is left.
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

# Removes everything of this program but the lock, which is held to the end. The record is removed
# last, so that after a run that died the next one still finds what to remove.
tidy() {
  rm -rf -- "$home/original" "$home/generation"
  rm -f -- "$manifest" "$manifest.new"
}

# The line for a directory that is made as a parent of a file.
directory_record() {
  printf '{"q":"ours","kind":"directory","path":"%s","data":false}' "$1"
}

# Makes the missing directories above a path, and records them.
make_parents() {
  parent=${1%/*}
  [ -z "$parent" ] || [ -d "$parent" ] && return
  make_parents "$parent"
  parent=${1%/*}
  record "$(directory_record "$parent")"
  mkdir -m 755 -- "$parent"
}

# take PATH RECORD — records a path as ours, and keeps what was there before the first run.
take() {
  is_ours "$2" || {
    keep_original "$1"
    add "$2"
  }
}

# Keeps what is at a path that is not on the record yet. A copy that an earlier run left is older,
# and is removed.
keep_original() {
  [ ! -e "$home/original$1" ] && [ ! -L "$home/original$1" ] || rm -f -- "$home/original$1"
  if [ -e "$1" ] || [ -L "$1" ]; then
    mkdir -p -- "$home/original${1%/*}"
    cp -a -- "$1" "$home/original$1"
    sync -f "$home"
  fi
}

# write_file CONTENT PATH MODE OWNER:GROUP RECORD DIRECTORY… — leaves the old file or the new one,
# never a part. A file of a component's data has no record of its own: it stays with the data. For
# the last file of a stage the directories of all its files are given and synced: only then are the
# files safe from a loss of power, and only after that a unit that reads them starts.
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

# remove_path PATH — removes a file or a link that a component left; it is not on the record.
remove_path() {
  rm -f -- "$1"
  sync "${1%/*}/"
}

# write_boot CONTENT PATH RECORD DIRECTORY — writes a drop-in of GRUB, which takes effect once GRUB
# has made its own file from it.
write_boot() {
  write_file "$1" "$2" 644 root:root "$3" "$4"
  update_grub
}

# update-grub replaces the file from which the machine boots: it is synced before the next step.
update_grub() {
  update-grub
  sync -f /boot/grub/grub.cfg
}

# restore_boot PATH RECORD — the record is removed last: if this is cut off, it is done again. If
# GRUB never used the setting, GRUB need not be updated.
restore_boot() {
  put_back "$1"
  if command -v update-grub >/dev/null &&
    grep -Fqs systemd.unified_cgroup_hierarchy=0 /boot/grub/grub.cfg; then
    update_grub
  fi
  forget "$2"
  rm -f -- "$home/original$1"
}

# reboot_machine BOOT — unless it has rebooted since. The machine goes down a moment later, so that
# this script can still report its end.
reboot_machine() {
  read -r boot </proc/sys/kernel/random/boot_id
  [ "$boot" = "$1" ] || return 0
  systemd-run --quiet --collect --on-active=2s --timer-property=AccuracySec=100ms systemctl reboot
}

# restore_file PATH RECORD — the copy is removed last: as long as the path is on the record, a run
# that finds no copy removes the path.
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

# set_sysctl CONTENT PATH NAME VALUE RECORD — the first record contains the host's own value.
set_sysctl() {
  grep -Fq "\"kind\":\"sysctl\",\"name\":\"$3\"" "$manifest" 2>/dev/null || record "$5"
  new=$2.platform-new
  trap 'rm -f -- "$new"' EXIT
  cp -- "$staged/$1" "$new"
  chmod 644 "$new"
  mv -fT -- "$new" "$2"
  sysctl -q -w "$3=$4"
}

# restore_sysctl FILE KERNEL'S-FILE NAME VALUE RECORD — there is nothing to restore if the kernel
# does not have the setting, or has that value. If the value was not known, the host's own files
# set it at boot. A setting that the kernel does not let us restore stays on the record: some can
# be set only once until the next boot.
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

# A mirror that does not answer is given up after half a minute, unless the host's own settings
# say otherwise.
apt() {
  cat >"$staged/apt.conf" <<'END'
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
Acquire::Retries "1";
END
  DEBIAN_FRONTEND=noninteractive APT_CONFIG=$staged/apt.conf apt-get -q -y \
    -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0 "$@"
}

# patiently COMMAND… — repeats it for up to two minutes while another process holds a lock: apt
# itself waits for some of its locks, but not for that of its lists. It prints who holds the lock.
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

# Reads the package lists again. Only the sources of the wanted packages have to work: complaints
# of apt are kept, and printed only if a package cannot be installed.
complaints=
refresh_lists() {
  complaints=$(patiently apt update | grep -E '^(gave up|[EW]:)' | tail -n 12)
}

# tell WORDS — prints why a package cannot be installed, with the possible cause.
tell() {
  printf '%s\n' "$1"
  [ -z "$complaints" ] || printf 'the package lists could not all be read:\n%s\n' "$complaints"
}

# plan_packages NAME [COMMAND PACKAGE] — sets $packages, what apt is asked for, and $planned, what
# it would do. The engine must not replace another one: that is for the operator to decide.
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

# apt_install NAME [COMMAND PACKAGE] — also installs PACKAGE, which provides COMMAND, if the
# distribution has split it off and only recommends it. What is installed with a package is removed
# with it, so all of it is recorded before the first package is installed.
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
    # If the lists were not old, there is nothing else to fetch.
    { plan_packages "$@" && [ "$planned" != "$stale" ] && fetch_packages "$1"; } || {
      tell "$said"
      return 1
    }
  }
  has_brought "$@"
}

# fetch_packages NAME — installs what was planned for it; $said is the output of apt.
fetch_packages() {
  said="cannot write the record $manifest"
  for name in $(printf '%s\n' "$planned" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p'); do
    record_package apt "$name" "$1" || return 1
  done
  said=$(patiently apt $keep --no-install-recommends install -- $packages)
}

# has_brought NAME [COMMAND PACKAGE] — whether an installed package provides its command.
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

# Packages that would be removed with these, but must not be.
others_than() {
  apt -s purge -- "$@" | sed -n 's/^Purg \([^ ]*\) .*/\1/p; s/^Remv \([^ ]*\) .*/\1/p' |
    while read -r name; do
      case " $going " in *" $name "*) ;; *) printf '%s ' "$name" ;; esac
    done
}

# leave_package NAME NEEDED_BY… — it is removed with the package that needs it, if that is ours.
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

# Removes all packages at once, because each run of apt takes seconds. A package that others need
# by now is kept for them.
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

# A mirror that does not answer is given up, and a dead source of another vendor does not matter.
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

# Whether the container engine is among the packages to remove.
engine_goes() {
  case " $going " in *" docker.io "* | *" moby-engine "*) ;; *) return 1 ;; esac
}

# note_before_engine PACKAGE — keeps the setting of forwarding. An engine switches forwarding on,
# and then closes the firewall's FORWARD chain.
note_before_engine() {
  case $1 in docker.io | moby-engine) ;; *) return 0 ;; esac
  [ ! -e "$home/original/forwarding" ] || return 0
  mkdir -p -- "$home/original"
  cat /proc/sys/net/ipv4/ip_forward >"$home/original/forwarding.new"
  mv -fT -- "$home/original/forwarding.new" "$home/original/forwarding"
}

# Removes what an engine makes by itself and its packages leave behind: its network, its rules in
# the firewall, its state. It has to be called while the firewall's tools are still installed.
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

# pull_image RECORD REFERENCE… — pulls it from the first registry that has it.
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

# unpack_tree PATH IMAGE RECORD — unpacks all of the image's file system, or nothing: a tree that
# exists is complete, because it gets its name last. The container is never started; `export` only
# needs its name.
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

# Whether any process runs from a tree: whether its root has the same inode.
is_in_use() {
  [ -d "$1" ] || return 1
  stat -L -c %d:%i /proc/[0-9]*/root 2>/dev/null | grep -Fxq "$(stat -c %d:%i "$1")"
}

# remove_tree PATH RECORD — a tree from which a process still runs stays on the record.
remove_tree() {
  if is_in_use "$1"; then
    echo "stays: processes still run from it"
    return 0
  fi
  rm -rf --one-file-system -- "$1" "$1.platform-new"
  [ ! -d "${1%/*}" ] || rmdir --ignore-fail-on-non-empty "${1%/*}"
  forget "$2"
}

# start_unit NAME start|restart new|known|'' failed|'' RECORD — the record is empty if it ran
# before.
start_unit() {
  [ -z "$5" ] || record "$5"
  [ -z "$4" ] || systemctl reset-failed "$1"
  # Enabling is for the next boot. For a new unit only the links are made: if systemd made them
  # itself, it would have to read all units again. For a unit that it knows, systemd makes them.
  case $3 in
    new) systemctl --quiet --root=/ enable "$1" ;;
    known) systemctl --quiet enable "$1" ;;
  esac && systemctl "$2" "$1" || {
    journalctl --no-pager --lines 20 --output cat --unit "$1"
    return 1
  }
}

# load_firewall SECONDS RECORD — the rules are taken back after this time unless they are confirmed.
load_firewall() {
  record "$2"
  sh /etc/platform/firewall/firewall try "$1"
}

# remove_firewall UNIT RECORD — removes our own table, and nothing else.
remove_firewall() {
  systemctl stop platform-firewall-revert.timer 2>/dev/null || true
  systemctl --quiet disable --now "$1" || ! systemctl cat "$1" >/dev/null 2>&1
  [ ! -e /etc/platform/firewall/firewall ] || sh /etc/platform/firewall/firewall stop
  rm -f -- /etc/platform/firewall/confirmed.nft
  forget "$2"
}

reload_unit() {
  systemctl reload "$1" || {
    journalctl --no-pager --lines 20 --output cat --unit "$1"
    return 1
  }
}

stop_unit() {
  systemctl --quiet disable --now "$1" || ! systemctl cat "$1" >/dev/null 2>&1
  # A unit may leave processes behind on purpose for its next start, but there is none.
  systemctl kill --signal=SIGKILL "$1" 2>/dev/null || true
  systemctl reset-failed "$1" 2>/dev/null || true
  # What a unit keeps in /run between its starts is removed too; most keep nothing there.
  systemctl clean --what=runtime "$1" 2>/dev/null || true
  case $1 in platform-mesos-agent.service) end_tasks ;; esac
  forget "$2"
}

# Removes the containers of the agent's tasks: each outlives the agent and its executor. Those of
# another agent have their sandboxes elsewhere, and stay.
end_tasks() {
  command -v docker >/dev/null || return 0
  containers=$(docker ps --all --no-trunc --filter label=MESOS_TASK_ID \
    --format '{{.ID}} {{.Mounts}}' |
    sed -n 's|^\([0-9a-f]*\) .*/var/lib/platform/mesos-agent/.*|\1|p')
  [ -z "$containers" ] || docker rm --force --volumes $containers
}

# step NUMBER — runs step_NUMBER and reports the result; the first failure ends the stage. Its
# output is kept in memory, so that it can be sent even if the disk is full. Only the end of it is
# sent, with one byte more if it was cut: the reader then leaves out the first line.
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

# A plan is valid only for the state for which it was made.
found=
[ ! -r "$home/generation" ] || read -r found <"$home/generation"
if [ "$found" != "$expected" ]; then
  printf '{"refused":"another run of platform changed this host since it was looked at"}\n'
  exit 1
fi
printf '%s\n' "$next" | dd of="$home/generation.new" status=none &&
  mv -f -- "$home/generation.new" "$home/generation" || exit 1
