#!/bin/sh
# One host of bench/hosts.py, in its own namespaces: sets up its network and its files, then runs
# sshd until it is killed. Prints `ready` once sshd listens.
set -eu
folder=$1 tree=$2 number=$3 address=$4 outside=$5 bridge=$6
root=$folder/root

ip link set lo up
ip link add eth0 type veth peer name "bench$number" netns "$outside"
nsenter --target "$outside" --net ip link set "bench$number" master "$bridge" up
ip address add "$address/16" dev eth0
ip link set eth0 up
hostname "bench-$number"

mount -t overlay -o "lowerdir=$tree,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
# It looks like a machine with systemd, which every host needs; systemd itself is not used here.
mkdir -p "$root/run/systemd/system" "$root/run/sshd"
printf '127.0.0.1 localhost\n%s bench-%s\n' "$address" "$number" >"$root/etc/hosts"

exec unshare --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" \
  sh -c '/usr/sbin/sshd && echo ready && exec sleep infinity'
