//! Tests of what this program does with the real Docker: machines, images, registries.
#![cfg(test)]

#[path = "../it/fixture.rs"]
mod fixture;
mod images;
mod local;
mod registry;
