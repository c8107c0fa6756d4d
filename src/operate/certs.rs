//! `platform certs`: shows a cluster's certificates, and gives it new ones.
//!
//! New certificates, and the parts of an exchange of the authority, reach the hosts as everything
//! else does: by the plan of an [`up`](super::up). So any later `up` finishes what was cut off.

use std::fmt::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use super::RunContext;
use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::gather::LEAF_PREFIX;
use super::run::Ended;
use super::up::{Extent, up};
use crate::certificate::{Certificate, RENEW_BEFORE, San};
use crate::state::{Kept, Rank};

/// The certificates of a cluster, as its files on this computer have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// One for each certificate: those of authorities first.
    pub certificates: Vec<Row>,
}

/// What there is to know about a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Whose it is: a host, `everyone outside` for the operator's own, or an authority.
    pub owner: String,
    /// Who signed it.
    pub issuer: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// From when it is valid.
    pub from: Timestamp,
    /// Until when it is valid.
    pub until: Timestamp,
    /// The whole days that are left; less than 0 if it has expired.
    pub days_left: i64,
    /// Whether something has to be done.
    pub state: Standing,
}

/// Whether something has to be done about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing.
    Fine,
    /// The next `up` renews it.
    RenewedByUp,
    /// The operator has to exchange the authority.
    RotateCa,
    /// The operator has to replace the files.
    ReplaceFiles,
    /// It has expired.
    Expired,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fine => "fine",
            Self::RenewedByUp => "renewed by the next `up`",
            Self::RotateCa => "ends soon: `certs rotate --ca`",
            Self::ReplaceFiles => "ends soon: replace its files",
            Self::Expired => "expired",
        })
    }
}

/// Lists the certificates; connects to no host.
///
/// # Errors
/// When the state folder cannot be read, or the operator's own certificate cannot be used.
pub fn list(files: &ClusterFiles, now: Timestamp) -> Result<Listed, Error> {
    let kept = files.state.certificates()?;
    let own = files.own_certificate(now)?.map(|own| own.leaf);
    Ok(Listed { certificates: rows(&kept, own.as_ref(), now) })
}

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotated {
    /// The certificates of the hosts.
    Hosts,
    /// The authority, and with it the certificates of the hosts.
    Authority,
}

/// Gives the hosts new certificates, also from a new authority, and brings the cluster up to date.
///
/// # Errors
/// As [`up`]; what was begun is finished by the next `up`.
pub async fn rotate(
    files: &ClusterFiles,
    rotated: Rotated,
    agreed: bool,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    let now = (ctx.clock)();
    match rotated {
        Rotated::Hosts => up(&files.renewing(now), agreed, Extent::All, ctx).await,
        Rotated::Authority => {
            files.state.begin_exchange(now)?;
            up(files, agreed, Extent::All, ctx).await
        }
    }
}

fn rows(kept: &Kept, own: Option<&Certificate>, now: Timestamp) -> Vec<Row> {
    let authorities = kept.authorities.iter().map(|(rank, certificate)| {
        let owner = match rank {
            Rank::Signs => "the cluster's authority",
            Rank::Next => "the next authority",
            Rank::Old => "the old authority",
        };
        row(owner, certificate, Standing::RotateCa, now)
    });
    let signers = kept.authorities.iter().filter(|(rank, _)| *rank == Rank::Signs);
    let signer = signers.map(|(_, certificate)| certificate).next();
    let leaves = kept.leaves.iter().map(|certificate| {
        let name = &certificate.subject;
        let name = name.strip_prefix(LEAF_PREFIX).unwrap_or(name);
        let row = row(name, certificate, Standing::RenewedByUp, now);
        let is_of_signer = signer.is_some_and(|ca| certificate.is_signed_by(ca));
        match row.state {
            Standing::Fine if !is_of_signer => {
                Row { state: Standing::RenewedByUp, ..row }
            }
            _ => row,
        }
    });
    let own = own.map(|own| row("everyone outside", own, Standing::ReplaceFiles, now));
    authorities.chain(leaves).chain(own).collect()
}

/// A certificate that is `due` for something shortly before its end.
fn row(owner: &str, certificate: &Certificate, due: Standing, now: Timestamp) -> Row {
    let Certificate { issuer, from, until, sans, .. } = certificate;
    let left = until.duration_since(now);
    let state = if *until <= now {
        Standing::Expired
    } else if left <= RENEW_BEFORE {
        due
    } else {
        Standing::Fine
    };
    Row {
        owner: owner.to_owned(),
        issuer: issuer.clone(),
        names: sans.iter().map(San::to_string).collect(),
        from: *from,
        until: *until,
        days_left: left.as_hours().div_euclid(24),
        state,
    }
}

impl Listed {
    /// Whether one has expired.
    pub fn has_expired(&self) -> bool {
        self.certificates.iter().any(|row| row.state == Standing::Expired)
    }

    /// The list as a table.
    ///
    /// # Errors
    /// When the text cannot be written to `out`.
    pub fn show(&self, out: &mut impl Write) -> fmt::Result {
        if self.certificates.is_empty() {
            return writeln!(
                out,
                "There are no certificates yet: `platform up` makes them."
            );
        }
        let head = ["FOR", "ISSUER", "FROM", "UNTIL", "DAYS", "STATE"].map(str::to_owned);
        let lines = [(head, "NAMES".to_owned())].into_iter();
        let lines: Vec<_> = lines.chain(self.certificates.iter().map(cells)).collect();
        for (cells, names) in &lines {
            for (n, cell) in cells.iter().enumerate() {
                let width = lines.iter().map(|(cells, _)| cells[n].chars().count());
                write!(out, "{cell:width$}  ", width = width.max().unwrap_or(0))?;
            }
            writeln!(out, "{names}")?;
        }
        Ok(())
    }
}

fn cells(row: &Row) -> ([String; 6], String) {
    let day = |at: Timestamp| at.strftime("%Y-%m-%d").to_string();
    let Row { owner, issuer, from, until, days_left, state, names } = row;
    let names = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let left = [days_left.to_string(), state.to_string()];
    let [left, state] = left;
    ([owner.clone(), issuer.clone(), day(*from), day(*until), left, state], names)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::state::State;

    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn now() -> Timestamp {
        "2026-11-23T10:15:00Z".parse().unwrap()
    }

    /// A cluster with one edge host, a day after its certificate was made.
    fn state() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::of(&dir.path().join("lab.yaml"), &"lab".parse().unwrap());
        let names = [San::Dns("lab.internal".to_owned()), San::Ip([10, 0, 0, 9].into())];
        let ca = state.ca(now() - DAY).unwrap();
        ca.certificate("edge-edge-1", &names, now() - DAY).unwrap();
        state.keep().unwrap();
        (dir, state)
    }

    /// The states at a time, those of authorities first.
    fn check(state: &State, at: Timestamp, expected: &[Standing]) {
        let rows = rows(&state.certificates().unwrap(), None, at);
        let found: Vec<Standing> = rows.iter().map(|row| row.state).collect();
        assert_eq!(found, expected, "{rows:?}");
    }

    #[test]
    fn the_list_says_whose_each_is_and_what_to_do() {
        let (_dir, state) = state();
        let kept = state.certificates().unwrap();
        let own = &kept.leaves[0];
        let certificates = rows(&kept, Some(own), now() + DAY * 370);
        let mut text = String::new();
        Listed { certificates }.show(&mut text).unwrap();
        let expected = "\
FOR                      ISSUER           FROM        UNTIL       DAYS  STATE                         NAMES
the cluster's authority  platform lab CA  2026-11-22  2036-11-19  3279  fine                          -
edge-1                   platform lab CA  2026-11-22  2027-12-24  26    renewed by the next `up`      lab.internal, 10.0.0.9
everyone outside         platform lab CA  2026-11-22  2027-12-24  26    ends soon: replace its files  lab.internal, 10.0.0.9
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_left_decides_what_to_do() {
        use Standing::{Expired, Fine, RenewedByUp, RotateCa};
        let (_dir, state) = state();
        check(&state, now(), &[Fine, Fine]);
        check(&state, now() + DAY * 366, &[Fine, RenewedByUp]);
        check(&state, now() + DAY * 396, &[Fine, Expired]);
        check(&state, now() + DAY * 3630, &[RotateCa, Expired]);
        check(&state, now() + DAY * 3650, &[Expired, Expired]);
    }

    #[test]
    fn during_an_exchange_both_authorities_are_listed() {
        let (_dir, state) = state();
        state.begin_exchange(now()).unwrap();
        state.keep().unwrap();
        let owners = || {
            let rows = rows(&state.certificates().unwrap(), None, now());
            let owners = rows.into_iter().map(|row| (row.owner, row.state));
            owners.collect::<Vec<_>>()
        };
        let row = |owner: &str, state| (owner.to_owned(), state);
        let (signs, leaf) = ("the cluster's authority", "edge-1");
        let fine = Standing::Fine;
        let expected =
            [row(signs, fine), row("the next authority", fine), row(leaf, fine)];
        assert_eq!(owners(), expected);
        state.continue_exchange(now()).unwrap();
        let due = Standing::RenewedByUp;
        let expected = [row(signs, fine), row("the old authority", fine), row(leaf, due)];
        assert_eq!(owners(), expected);
    }

    #[test]
    fn a_cluster_without_certificates_is_told_how_it_gets_them() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::of(&dir.path().join("lab.yaml"), &"lab".parse().unwrap());
        let certificates = rows(&state.certificates().unwrap(), None, now());
        let mut text = String::new();
        Listed { certificates }.show(&mut text).unwrap();
        assert_eq!(text, "There are no certificates yet: `platform up` makes them.\n");
    }
}
