//! Plans carried out on hosts that do what a script says.

mod access;
mod apply;
mod gate;
mod lock;
mod probe;
mod reboot;
