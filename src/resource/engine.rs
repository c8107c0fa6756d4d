//! The container engine: what is behind the command `docker` on a host, and how it is set up.
//!
//! The command may belong to an engine that this program cannot use, or to no engine. This module
//! only records what was found; the checks before the first change decide on it.

use serde::Deserialize;

use super::Facts;

/// What is behind the command `docker` on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// The path of the command, if there is one.
    pub command: Option<String>,
    /// The version of the engine that answers; `None` if no engine answers.
    pub version: Option<String>,
    /// The version of the client, if no engine answers.
    pub client: Option<String>,
    /// The version that the distribution would install, if no engine answers.
    pub offered: Option<String>,
    /// Whether the command is where the services need it: `/usr/bin/docker`.
    pub in_place: bool,
    /// Whether the command is Podman's.
    pub podman: bool,
    /// Whether the engine of the snap is installed.
    pub snap: bool,
    /// The settings of the engine that answers.
    pub runs_with: Settings,
    /// The settings in `/etc/docker/daemon.json`, for its next start.
    pub configured: Settings,
}

/// Settings of an engine that this program cannot work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub struct Settings {
    /// Whether containers have other users than the host; `None` if that is not set.
    pub user_namespaces: Option<bool>,
    /// Whether containerd keeps the images; `None` if that is not set.
    pub containerd_store: Option<bool>,
}

impl Engine {
    /// The version of the engine, or of the client if no engine answers.
    pub fn there(&self) -> Option<&str> {
        self.version.as_deref().or(self.client.as_deref())
    }
}

/// Selects the host's own engine: the client's settings may point to an engine elsewhere.
pub(super) const HERE: &str = "export DOCKER_HOST=unix:///var/run/docker.sock\n";

/// The part of the probe about Docker. On a usual host, one call of the client returns everything.
/// A client may end well without an engine, and then prints no version. Of the engine's settings,
/// the host sends only whether those that matter here are set.
pub(super) const SCRIPT: &str = r#"version= client= offered= podman=false in_place=false snap=false
runs=null,null configured=null,null
docker_version() { case $1 in *[!0-9A-Za-z.+~_:-]*) ;; *) printf %s "$1" ;; esac }
if docker=$(command -v docker); then
  said=$(docker info --format '{{.ServerVersion}} {{.SecurityOptions}} {{.DriverStatus}}' 2>/dev/null)
  version=$(docker_version "${said%% *}")
  if [ -n "$version" ]; then
    runs=false
    case $said in *name=userns*) runs=true ;; esac
    case $said in *io.containerd.snapshotter*) runs=$runs,true ;; *) runs=$runs,false ;; esac
  else
    client=$(docker_version "$(docker version --format '{{.Client.Version}}' 2>/dev/null)")
    case $(readlink -f "$docker") in */podman*) podman=true ;; esac
    head -c 4096 "$docker" | grep -aq podman && podman=true
  fi
fi
[ -z "$version" ] && command -v apt-cache >/dev/null &&
  offered=$(docker_version "$(apt-cache policy docker.io | sed -n 's/^ *Candidate: //p')")
[ -x /usr/bin/docker ] && in_place=true
[ -e /etc/systemd/system/snap.docker.dockerd.service ] && snap=true
if [ -r /etc/docker/daemon.json ]; then
  text=$(tr -d ' \t\r\n' </etc/docker/daemon.json)
  configured=null
  case $text in *'"userns-remap":""'*) ;; *'"userns-remap":"'*) configured=true ;; esac
  case $text in
    *'"containerd-snapshotter":true'*) configured=$configured,true ;;
    *'"containerd-snapshotter":false'*) configured=$configured,false ;;
    *) configured=$configured,null ;;
  esac
fi
printf '{"q":"docker","command":"%s","version":"%s","client":"%s","offered":"%s","podman":%s,"in_place":%s,"snap":%s,"runs_with":[%s],"configured":[%s]}\n' \
  "$docker" "$version" "$client" "$offered" $podman $in_place $snap "$runs" "$configured"
"#;

impl Engine {
    pub(super) fn add_to(mut self, facts: &mut Facts) -> Option<()> {
        for text in
            [&mut self.command, &mut self.version, &mut self.client, &mut self.offered]
        {
            *text = text.take().filter(|text| !text.is_empty());
        }
        facts.system.engine = self;
        Some(())
    }
}
