//! `platform` turns one YAML inventory into a running, fault-tolerant container platform.
//!
//! # The modules
//!
//! Data flows in one direction. The modules left of `run` are pure and decide; those right of it
//! show.
//!
//! ```text
//! inventory ─▶ topology ─▶ component ─┬────────────────▶ plan ─▶ run ─▶ event ─▶ report
//!                  ▲                  └▶ probe ─▶ facts ──┘
//!               machines (provider)
//! ```
//!
//! The list is in reading order. A module uses only modules above it; a test checks that.
//!
//! **Types that all others use**
//!
//! - [`event`]: everything that a display or the journal sees of a run.
//! - [`host`], [`path`]: names of machines and of files on them, safe in a shell.
//! - [`secret`]: the only values that may contain a password. [`mod@unit`]: sizes and times.
//! - [`reason`]: the output of something that failed, with the decisive line first.
//!
//! **Decide**: pure, no I/O, clock, environment or async.
//!
//! - [`inventory`]: the operator's file, checked once, every fault with its position; the
//!   catalogue of images.
//! - [`topology`]: which host runs what, and which groups decide by a majority.
//! - [`resource`]: what a host should have, what it has, and the difference. Each kind of resource
//!   has its question, its parser for the answer, and its change in one place.
//! - [`template`]: strict rendering. [`component`]: what each component wants on a host.
//! - [`plan`]: changes in stages and waves, ordered so that no quorum is lost.
//!
//! **Do**: async, fallible, decide nothing.
//!
//! - [`progress`]: how steps and waits are reported. [`remote`]: the only interface to hosts, and
//!   its implementation with SSH.
//! - [`provider`]: makes and removes machines; a pure part decides what AWS should have, and
//!   another part makes the calls. [`images`]: builds, reads and packs images; has the built-in
//!   folders that they are built from, and the kept digests of tags.
//! - [`state`]: the state folder beside the inventory: certificate authority, secrets, lock,
//!   journal.
//! - [`api`]: clients for the components.
//! - [`run`]: probe, apply, gates, the cluster's lock.
//! - [`operate`]: the verbs, each as a list of its parts. Begin with [`operate::up`].
//!
//! **Show**
//!
//! - [`report`]: shows events on a terminal, as lines, or as JSON. [`cli`]: reads the command line,
//!   returns the exit code.
//!
//! # How a change reaches a host
//!
//! One command [probes](resource::probe): a generated shell script asks exactly what the wanted
//! resources need to know. The [difference](resource::diff) is computed here, on values. One
//! command per stage [applies](resource::apply): a script and the contents of files in one
//! stream. It notes what it will install first, in a record on the host; so a run can be killed at
//! any moment, the next run continues, and `down` removes exactly what the program installed.
//!
//! # What is deliberately absent
//!
//! There is no agent on hosts and no Python. There is no rollback: steps can be repeated, and
//! the next run finishes the work. No step asks whether this is a dry run: a dry run stops after
//! the plan. The program does not know the tests' stand-ins.

pub mod event;
pub mod host;
pub mod path;
pub mod reason;
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
