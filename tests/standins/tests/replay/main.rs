//! Requests that were put to a real Marathon and a real Chronos are put to the stand-ins, in the
//! state that the real ones were in: status, headers and body must be the recorded ones, but for
//! the differences that are known.

#[cfg(test)]
mod chronos;
#[cfg(test)]
mod compare;
#[cfg(test)]
mod known;
#[cfg(test)]
mod marathon;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod script;
#[cfg(test)]
mod world;
