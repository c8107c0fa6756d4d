//! HAProxy's answer to `show servers state`: which slot of which backend has which address and
//! does what.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The slots of all backends, by the backend's name.
pub type Backends = BTreeMap<String, Vec<Slot>>;

/// A place for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name, such as `s1`.
    pub name: String,
    /// Where its server listens.
    pub address: Option<SocketAddr>,
    op: u32,
    admin: u32,
}

/// What a slot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// It takes no request at all.
    Free,
    /// It finishes what it has begun.
    Draining,
    /// It takes requests.
    Up,
    /// It would take requests, but does not answer HAProxy's check.
    Down,
}

/// Why an answer is not the state of servers.
#[derive(Debug, thiserror::Error)]
#[error("HAProxy's answer to \"show servers state\" cannot be read: {0:?}")]
pub struct NotState(String);

/// The bits of HAProxy's `srv_admin_state` that mean maintenance, by whatever cause.
const MAINTENANCE: u32 = 0x01 | 0x02 | 0x20;
const DRAIN: u32 = 0x08 | 0x10;
/// The `srv_op_state` of a server that runs.
const RUNNING: u32 = 2;

impl Slot {
    /// What it does. A slot that was written as `disabled` keeps the bit 4 for ever, whatever it
    /// does now, so that bit says nothing.
    pub fn state(&self) -> SlotState {
        match () {
            () if self.admin & MAINTENANCE != 0 => SlotState::Free,
            () if self.admin & DRAIN != 0 => SlotState::Draining,
            () if self.op == RUNNING => SlotState::Up,
            () => SlotState::Down,
        }
    }

    /// The address, if it is in use.
    pub fn used(&self) -> Option<SocketAddr> {
        self.address.filter(|_| self.state() != SlotState::Free)
    }
}

/// Reads the answer, for one backend or for all.
///
/// # Errors
///
/// If it is something else, such as a message.
pub fn parse(text: &str) -> Result<Backends, NotState> {
    let refused = || NotState(text.chars().take(200).collect());
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let heading = lines.find_map(|line| line.strip_prefix("# ")).ok_or_else(refused)?;
    let columns = Columns::find(heading).ok_or_else(refused)?;
    let mut backends = Backends::new();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (backend, slot) = columns.slot(line).ok_or_else(refused)?;
        backends.entry(backend).or_default().push(slot);
    }
    Ok(backends)
}

struct Columns {
    backend: usize,
    name: usize,
    address: usize,
    port: usize,
    op: usize,
    admin: usize,
}

impl Columns {
    fn find(heading: &str) -> Option<Self> {
        let at = |name| heading.split_whitespace().position(|column| column == name);
        Some(Self {
            backend: at("be_name")?,
            name: at("srv_name")?,
            address: at("srv_addr")?,
            port: at("srv_port")?,
            op: at("srv_op_state")?,
            admin: at("srv_admin_state")?,
        })
    }

    fn slot(&self, line: &str) -> Option<(String, Slot)> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |column: usize| words.get(column).copied();
        let ip: Option<IpAddr> = word(self.address)?.parse().ok();
        let port: u16 = word(self.port)?.parse().ok()?;
        let slot = Slot {
            name: word(self.name)?.to_owned(),
            address: ip.map(|ip| SocketAddr::new(ip, port)),
            op: word(self.op)?.parse().ok()?,
            admin: word(self.admin)?.parse().ok()?,
        };
        Some((word(self.backend)?.to_owned(), slot))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A slot in this state.
    pub(crate) fn slot(name: &str, address: &str, state: SlotState) -> Slot {
        let (op, admin) = match state {
            SlotState::Free => (0, 5),
            SlotState::Draining => (2, 12),
            SlotState::Up => (2, 4),
            SlotState::Down => (0, 0),
        };
        Slot { name: name.to_owned(), address: address.parse().ok(), op, admin }
    }

    const ANSWER: &str = "1\n\
        # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
        srv_iweight srv_time_since_last_change srv_check_status srv_check_result \
        srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id \
        srv_fqdn srv_port srvrecord srv_use_ssl\n\
        3 web_10001 1 s1 10.0.0.1 2 0 1 1 5 6 3 1 6 0 0 0 - 31001 - 0\n\
        3 web_10001 2 s2 10.0.0.2 2 4 1 1 5 6 3 1 6 0 0 0 - 31002 - 0\n\
        3 web_10001 3 s3 10.0.0.3 2 12 1 1 5 6 3 1 6 0 0 0 - 31003 - 0\n\
        3 web_10001 4 s4 0.0.0.0 0 5 1 1 5 1 0 0 14 0 0 0 - 1 - 0\n\
        4 api_10002 1 s1 10.0.0.1 0 0 1 1 5 6 3 0 6 0 0 0 - 31009 - 0\n\n";

    #[test]
    fn the_bit_of_a_slot_that_was_disabled_in_the_file_does_not_count() {
        let backends = parse(ANSWER).unwrap();
        let states: Vec<SlotState> =
            backends["web_10001"].iter().map(Slot::state).collect();
        use SlotState::{Down, Draining, Free, Up};
        assert_eq!(states, [Up, Up, Draining, Free]);
        assert_eq!(backends["api_10002"][0].state(), Down);
        assert_eq!(backends["web_10001"][3].used(), None);
    }

    #[test]
    fn a_message_is_not_a_state() {
        assert!(parse("Can't find backend.\n").is_err());
        assert!(parse("").is_err());
    }
}
