//! `platform` turns one YAML inventory into a running, fault-tolerant container platform.
//!
//! # The modules, in reading order
//!
//! Data flows one way. What is left of `run` decides and is pure; what is right of it shows.
//!
//! ```text
//! inventory ─▶ topology ─▶ component ─┬────────────────▶ plan ─▶ run ─▶ event ─▶ report
//!                  ▲                  └▶ probe ─▶ facts ──┘
//!               machines (provider)
//! ```
//!
//! A module uses the modules above it in this list, never one below it. A test checks that.
//!
//! **Values that all modules use**
//!
//! - [`event`]: everything that a display or the journal sees of a run.
//! - [`host`], [`path`]: names of machines, and of files on them, that are safe in a shell.
//! - [`secret`]: the only values that may hold a password. [`mod@unit`]: sizes and times.
//! - [`digest`], [`mod@reference`]: names of images in registries.
//! - [`certificate`]: what stands in certificates, and whether the operator's own can be used.
//! - [`reason`]: the output of something that failed, with its decisive line first.
//!
//! **Modules that decide**: pure, without I/O, clock, environment or async.
//!
//! - [`inventory`]: the operator's file and the catalogue of images. Both are checked once, and
//!   every mistake is reported at its position.
//! - [`definition`]: a file of an app or a group, and all that is wrong with it.
//! - [`topology`]: which host runs what, and which components need a majority.
//! - [`resource`]: what a host should have, what it has, and the difference. Each kind of resource
//!   keeps its question, its parser and its change together.
//! - [`template`]: strict rendering. [`component`]: what each component wants on a host.
//! - [`plan`]: changes in stages and waves that keep every quorum.
//!
//! **Modules that act**: async and fallible; they decide nothing.
//!
//! - [`progress`]: reports steps and waits. [`remote`]: runs commands on hosts, over SSH.
//! - [`provider`]: finds, makes and removes machines. What AWS should have is decided there by
//!   pure code. [`images`]: builds, reads and packs images, and keeps the digests of their tags.
//! - [`state`]: the folder beside the inventory: certificate authority, secrets, lock, journal.
//! - [`api`]: clients for the APIs of the components.
//! - [`run`]: probes hosts, applies plans, waits at gates, holds the cluster's lock, asks
//!   components for their health.
//! - [`operate`]: the verbs, each readable as a table of contents. Begin with
//!   [`operate::up`].
//!
//! **Modules that show**
//!
//! - [`report`]: shows events on a terminal, as lines, as JSON. [`cli`]: parses the command line
//!   and sets the exit code.
//!
//! # How a change reaches a host
//!
//! One command [probes](resource::probe) the host: a generated shell script asks exactly what the
//! wanted resources need to know. The [difference](resource::diff) is computed here, on values.
//! One command per stage [applies](resource::apply) it: a script and the contents of files as one
//! stream. The script records each thing on the host before it installs it. So a run may be killed
//! at any time: the next run continues, and `down` removes exactly what this program installed.
//!
//! # Glossary
//!
//! - **Inventory**: the operator's YAML file. **Catalogue**: the file that says where images come
//!   from.
//! - **Machine**: what a provider knows. **Host**: the same machine, as SSH and components see it.
//! - **Component**: a program of the platform, such as ZooKeeper. **Instance**: a component on one
//!   host. **Unit**: the systemd unit that runs it.
//! - **Member**: an instance that serves together with others. **Ensemble**: members that decide
//!   by a majority. **Leader**: the one member that leads. **Peers**: members of which no two may
//!   be interrupted at once.
//! - **Edge**: the hosts through which everyone outside reaches the cluster's services. **Virtual
//!   IP**: the address of the edge, which one of these hosts has.
//! - **Resource**: a thing that a host should have: a file, a package, a unit. **Facts**: what a
//!   host reported to a probe. **Change**: what turns one into the other.
//! - **Plan**: all changes of a run, in **stages** (one after the other) and **waves** (hosts that
//!   change side by side). **Step**: one change, while it is applied.
//! - **Gate**: a condition that a run waits for. **Health**: what a component reports about itself.
//! - **Trial**: the minute in which a host takes new firewall rules back, unless a new connection
//!   confirms them.
//! - **Preflight**: the checks before the first change. **Refusal**: a reason not to change anything.
//! - **Proof**: the test app that shows that the cluster works.
//! - **State folder**: `.platform/CLUSTER` beside the inventory. **Draft**: what was made for it
//!   and is not kept yet.
//! - **Pin**: an SSH host key, or the digest of an image's tag, that is kept and checked from
//!   then on.
//!
//! # The programs on edge hosts
//!
//! The folder `balancer` is a program of its own, which serves the ports of apps at the edge. The
//! folder `copier` is another one, which gives all registries the same images. They share the folder
//! `daemon`, and no code with this program: `build.rs` builds them, and they travel inside it.
//!
//! # The rules of Marathon's apps
//!
//! The folder `marathon-rules` says what Marathon makes of the JSON of an app: what it refuses, what it
//! drops, what it fills in. It is a library of its own, so that the test double of Marathon can use
//! it too, and it is held against what a real Marathon did.
//!
//! # What is deliberately absent
//!
//! There is no agent on hosts and no Python. There is no rollback: steps can be repeated, and the
//! next run finishes. No step asks whether this is a dry run: a dry run stops after the plan. The
//! product does not know the stand-ins that its tests use for some components.

pub mod certificate;
pub mod digest;
pub mod event;
pub mod host;
pub mod path;
pub mod reason;
pub mod reference;
pub mod secret;
pub mod unit;

pub mod inventory;

pub mod definition;
pub mod topology;

pub mod resource;
pub mod template;

pub mod component;
pub mod plan;

pub mod progress;
pub mod remote;

pub mod provider;

pub mod images;

pub mod state;

pub mod api;

pub mod run;

pub mod operate;

pub mod report;

pub mod cli;
