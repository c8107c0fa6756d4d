//! The balancer: it gives every Marathon app's service port to the app's healthy tasks, by
//! configuring HAProxy on the same host. One instance runs on each edge host.
//!
//! # The modules, in reading order
//!
//! **Modules that decide**: pure, without I/O and clock.
//!
//! - [`settings`]: what the balancer is told (only reading the file is I/O).
//! - [`marathon`]: what is read of Marathon. [`labels`]: the labels of apps that are meant for the
//!   balancer.
//! - [`services`]: which port of which app is served, and how. [`hints`]: what events say before
//!   a list does. [`wanted`]: which tasks are the servers of a service.
//! - [`servers_state`]: what HAProxy does now. [`change`]: the commands from there to what is
//!   wanted. [`render`]: the file that says the same. [`decide`]: all of it together.
//! - [`blame`]: finds the service that breaks a configuration.
//! - [`page`]: the landing page, made of what is known. [`html`]: a text in which no value is
//!   taken for markup.
//!
//! **Modules that act**, with a deadline on every call.
//!
//! - [`http`]: asks by HTTP. [`follow`]: the event stream and the lists of the leading Marathon.
//! - [`mesos`]: asks the leading master, for the landing page only. [`leaders`]: asks it which
//!   instance of Chronos leads, and tells HAProxy.
//! - [`haproxy`]: the program, its sockets and its file. [`run`]: the loop.
//! - [`status`]: what the balancer tells about itself. [`serve`]: shows it, also as the landing page.
//!
//! # Rules
//!
//! - No error empties a backend. Only an app that is gone, or that should have no tasks, does.
//! - A server that is going stays in use until another one of its service is up in HAProxy.
//! - Nothing that one app says changes what another app gets, except that one port or one virtual
//!   host cannot have two owners.
//! - An event never brings a server in by itself: it only makes the balancer read the list.

pub mod blame;
pub mod change;
pub mod decide;
pub mod follow;
pub mod haproxy;
pub mod hints;
pub mod html;
pub mod http;
pub mod labels;
pub mod leaders;
pub mod marathon;
pub mod mesos;
pub mod page;
pub mod render;
pub mod run;
pub mod serve;
pub mod servers_state;
pub mod services;
pub mod settings;
pub mod status;
pub mod wanted;

#[cfg(test)]
mod tests;
