//! Tests with a real HAProxy 2.6, which has to be installed. All traffic is on loopback.
#![cfg(test)]

mod bench;
mod cases;
mod isolation;
mod leaders;
mod limits;
mod program;
mod recorded;
mod replay;
mod serving;
mod support;
