//! The exchange of the certificate authority (CA) while the cluster runs.
//!
//! It has three parts: everyone learns to trust the new CA too; the new CA signs; the old CA is not
//! trusted any more. `ca.crt` has the certificates of all that are trusted, `ca.key` is the key of
//! the one that signs, and `next.key` that of the one that will sign. A part ends with the change
//! of one file, so an exchange that is cut off at any moment goes on from there.

use std::path::Path;

use jiff::Timestamp;

use super::ca::{Authorities, CaError, Rank, ca_certificate, new_key};
use super::{State, files};
use crate::secret::Secret;

/// How far the exchange of the CA is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// Everyone learns to trust the new CA.
    Trusting,
    /// Everyone gets certificates of the new CA.
    Signing,
}

impl Exchange {
    /// What this part means for clients outside of the cluster, which trust what this file has.
    pub fn warning(self, trusted: &Path) -> String {
        let file = trusted.display();
        match self {
            Self::Trusting => format!(
                "the certificate authority is exchanged: all hosts first learn to trust the new \
                 one too, then it signs, and then the old one is dropped; {file} has both: give it \
                 to the clients outside of the cluster before the new one signs"
            ),
            Self::Signing => format!(
                "the new certificate authority signs from now on: clients outside of the cluster \
                 that do not trust what is in {file} refuse the edge"
            ),
        }
    }
}

impl State {
    /// Begins to exchange the CA, unless an exchange is open. What is made is kept with everything
    /// else: see [`State::keep`]. Where the old CA has expired, nobody accepts its certificates any
    /// more, and the new one signs at once.
    ///
    /// # Errors
    /// When the CA cannot be read or made.
    pub fn begin_exchange(&self, now: Timestamp) -> Result<(), CaError> {
        let Authorities { own, trusted, others, .. } = self.authorities(now)?;
        if !others.is_empty() {
            return Ok(());
        }
        let cluster = self.cluster.as_str();
        let key = new_key(cluster)?;
        // Some programs find a CA by its name, so the two have different ones.
        let name =
            format!("platform {cluster} CA of {}", now.strftime("%Y-%m-%d %H:%M:%S"));
        let made = ca_certificate(&name, cluster, &Secret::new(key.as_str()), now)?;
        self.draft.write(&self.ca_certificate(), format!("{trusted}{made}").into_bytes());
        let signs = own.until <= now;
        let path = if signs { self.ca_key() } else { self.next_key() };
        self.draft.write(&path, key.into_bytes());
        Ok(())
    }

    /// How far the exchange of the CA is; `None` if none is open.
    ///
    /// # Errors
    /// When the CA cannot be read.
    pub fn exchange(&self, now: Timestamp) -> Result<Option<Exchange>, CaError> {
        let others = self.authorities(now)?.others;
        Ok(others.first().map(|(rank, _)| match rank {
            Rank::Next => Exchange::Trusting,
            Rank::Signs | Rank::Old => Exchange::Signing,
        }))
    }

    /// Goes on to the next part of the exchange, once everyone has what this part gives. Returns
    /// whether there was an exchange to go on with.
    ///
    /// # Errors
    /// When the files cannot be changed.
    pub fn continue_exchange(&self, now: Timestamp) -> Result<bool, CaError> {
        match self.exchange(now)? {
            None => return Ok(false),
            Some(Exchange::Trusting) => files::rename(&self.next_key(), &self.ca_key())?,
            Some(Exchange::Signing) => {
                let own = self.authorities(now)?.own.pem();
                files::write(&self.ca_certificate(), own.as_bytes())?;
                // It is left if the folder was restored from a copy.
                files::remove(&self.next_key())?;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::fixture::state;
    use super::super::{Ca, Leaf};
    use super::*;
    use crate::certificate::{Certificate, San};

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        "2026-11-23T10:15:00Z".parse().unwrap()
    }

    fn leaf(ca: &Ca) -> Leaf {
        ca.certificate("edge", &[San::Dns("lab7.internal".to_owned())], now()).unwrap()
    }

    /// Whether a client that trusts these accepts a certificate.
    fn accepts(trusted: &str, leaf: &Leaf) -> bool {
        let chain = Certificate::all_in(&leaf.cert_chain_pem).unwrap();
        let trusted = Certificate::all_in(trusted).unwrap();
        trusted.iter().any(|ca| chain[0].is_signed_by(ca))
    }

    #[test]
    fn in_each_part_everyone_accepts_what_the_part_before_and_after_gives() {
        let (_dir, state) = state();
        let mut seen = Vec::new();
        let mut look = |state: &State| {
            let ca = state.ca(now()).unwrap();
            seen.push((ca.trusted_pem().to_owned(), leaf(&ca)));
        };
        look(&state);
        state.keep().unwrap();
        assert!(!state.continue_exchange(now()).unwrap());

        state.begin_exchange(now()).unwrap();
        look(&state);
        let made = state.ca(now()).unwrap().trusted_pem().to_owned();
        state.begin_exchange(now()).unwrap();
        assert_eq!(state.ca(now()).unwrap().trusted_pem(), made, "it was begun");
        assert_eq!(state.made(), [Path::new("ca/next.key")], "nothing was lost");
        state.keep().unwrap();
        for part in [Exchange::Trusting, Exchange::Signing] {
            assert_eq!(state.exchange(now()).unwrap(), Some(part));
            assert!(state.continue_exchange(now()).unwrap());
            look(&state);
            state.keep().unwrap();
        }
        assert_eq!(state.exchange(now()).unwrap(), None);
        for pair in seen.windows(2) {
            let [(before, old), (after, new)] = pair else { unreachable!() };
            for (trusted, leaf) in
                [(before, old), (before, new), (after, old), (after, new)]
            {
                assert!(accepts(trusted, leaf));
            }
        }
        let ([(first, old), .., (last, new)], 4) = (seen.as_slice(), seen.len()) else {
            panic!("{seen:?}")
        };
        assert!(!accepts(first, new) && !accepts(last, old));
    }

    #[test]
    fn an_exchange_that_is_cut_off_while_its_files_are_written_can_be_begun_again() {
        let (_dir, state) = state();
        state.ca(now()).unwrap();
        state.keep().unwrap();
        state.begin_exchange(now()).unwrap();
        state.keep().unwrap();
        // Only the first file was written.
        std::fs::remove_file(state.next_key()).unwrap();
        let before = state.ca(now()).unwrap();
        assert_eq!(state.exchange(now()).unwrap(), Some(Exchange::Signing));
        assert!(state.continue_exchange(now()).unwrap());
        assert_eq!(state.exchange(now()).unwrap(), None);
        assert!(accepts(state.ca(now()).unwrap().trusted_pem(), &leaf(&before)));
        state.begin_exchange(now()).unwrap();
        assert_eq!(state.exchange(now()).unwrap(), Some(Exchange::Trusting));
    }

    #[test]
    fn a_ca_that_ends_soon_or_has_ended_is_exchanged() {
        for (left, part) in [(20, Exchange::Trusting), (-1, Exchange::Signing)] {
            let (_dir, state) = state();
            state.ca(now()).unwrap();
            state.keep().unwrap();
            let late = now() + DAY * (3650 - left);
            assert!(matches!(state.ca(late), Err(CaError::Ending { .. })));
            state.begin_exchange(late).unwrap();
            assert_eq!(state.exchange(late).unwrap(), Some(part));
            let certificate = || {
                let names = [San::Dns("lab7.internal".to_owned())];
                state.ca(late).unwrap().certificate("edge", &names, late).unwrap()
            };
            assert!(certificate() == certificate(), "it is made once");
        }
    }
}
