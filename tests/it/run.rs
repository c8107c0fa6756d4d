//! Plans carried out on hosts with a script.

mod access;
mod apply;
mod firewall;
mod gate;
mod lock;
mod probe;
mod reboot;
