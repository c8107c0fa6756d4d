//! Tests with real registries (Debian's `docker-registry`), which have to be installed. All traffic
//! is on loopback.
#![cfg(test)]

mod copying;
mod faults;
mod program;
mod support;
