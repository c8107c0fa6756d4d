//! `platform` turns one YAML inventory into a running, fault-tolerant container platform.
//!
//! # The map of the house
//!
//! Data flows one way. What is left of `run` is pure and decides; what is right of it shows.
//!
//! ```text
//! inventory ─▶ topology ─▶ component ─┬────────────────▶ plan ─▶ run ─▶ event ─▶ report
//!                  ▲                  └▶ probe ─▶ facts ──┘
//!               machines (provider)
//! ```
//!
//! In reading order. A module uses those above its own, never one below; a test holds that.
//!
//! **Words that all others use**
//!
//! - [`event`]: everything that a display or the journal ever sees of a run.
//! - [`host`], [`path`]: names of machines and of files on them, safe in a shell.
//! - [`secret`]: the only values that may carry a password. [`mod@unit`]: sizes and times.
//! - [`digest`], [`reference`]: images of registries, as they are named.
//! - [`reason`]: what a failing thing said, its decisive line first.
//!
//! **Decide**: pure, no I/O, clock, environment or async.
//!
//! - [`inventory`]: the operator's file, checked once, every fault at its position; the
//!   catalogue of images.
//! - [`topology`]: who runs what, and who decides by a majority.
//! - [`resource`]: what a host should have, what it has, and the difference. Each kind holds its
//!   question, its reading of the answer, and its change together.
//! - [`template`]: strict rendering. [`component`]: what each component wants on a host.
//! - [`plan`]: changes ordered into stages and waves that no quorum is lost to.
//!
//! **Do**: async, fallible, decide nothing.
//!
//! - [`progress`]: how steps and waits are reported. [`remote`]: the one narrow door to a host,
//!   and its SSH.
//! - [`provider`]: machines in, machines out; what AWS should have is decided purely there,
//!   beside the one door to it. [`images`]: built, read and packed; what comes with the program
//!   to build them from, and the digests that are kept of tags.
//! - [`state`]: the folder beside the inventory: authority, secrets, lock, journal.
//! - [`api`]: what components themselves answer.
//! - [`run`]: probe, apply, gates, the cluster's lock.
//! - [`operate`]: the verbs, each as a table of contents. Begin with
//!   [`operate::up`].
//!
//! **Show**
//!
//! - [`report`]: events as a terminal, as lines, as JSON. [`cli`]: words in, exit code out.
//!
//! # How a change reaches a host
//!
//! One command [probes](resource::probe): a generated shell script asks exactly what the wanted
//! resources need to know. The [difference](resource::diff) is taken here, on values. One
//! command per stage [applies](resource::apply): a script and the contents of files as one
//! stream. What it brings it notes first, in a record on the host; so a run can die at any
//! instant, the next goes on, and a tear-down takes back exactly what is ours.
//!
//! # What is deliberately absent
//!
//! There is no agent on hosts and no Python. There is no rollback: steps can be repeated, and
//! the next run finishes. No step asks whether this is a dry run: a dry run stops after the
//! plan. The components' stand-ins of the tests are unknown here.

pub mod digest;
pub mod event;
pub mod host;
pub mod path;
pub mod reason;
pub mod reference;
pub mod secret;
pub mod unit;

pub mod inventory;
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
