//! From what HAProxy does and what is wanted to commands of its runtime API. Pure.
//!
//! Invariants: a server that is going stays in use until another one of its service is up in
//! HAProxy; servers come in before others leave; a server that has ended frees its slot.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::servers_state::{Slot, SlotState};
use crate::wanted::{Role, Server};

/// One command of the runtime API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The backend.
    pub backend: String,
    /// The slot.
    pub slot: String,
    /// The server that it is about.
    pub address: SocketAddr,
    /// What happens to the slot.
    pub act: Act,
}

/// What happens to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It gets a server, which takes requests at once.
    Serve,
    /// It gets a server, which takes requests as soon as it answers HAProxy's check.
    ServeOnceChecked,
    /// Its server, which was leaving, takes requests again.
    Return,
    /// Its server gets no new clients.
    Drain,
    /// Its server is gone.
    Free,
}

/// What has to happen to one backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Commands that bring servers in.
    pub additions: Vec<Command>,
    /// Commands that take servers out. They follow all additions, of all backends.
    pub removals: Vec<Command>,
    /// The servers for which there is no slot.
    pub n_homeless: usize,
    /// Whether a server is going and cannot leave yet.
    pub is_waiting: bool,
    /// The servers of the slots once all this is done; those that drain are not among them.
    pub layout: Layout,
}

/// The servers of the slots of a backend.
pub type Layout = Vec<Option<SocketAddr>>;

/// A backend and what is wanted of it.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'at> {
    /// The backend's name.
    pub backend: &'at str,
    /// Its slots, as HAProxy has them.
    pub slots: &'at [Slot],
    /// The servers that are wanted.
    pub wanted: &'at [Server],
    /// Whether Marathon vouches for healthy tasks.
    pub is_vouched: bool,
    /// Whether "up" means that HAProxy has checked it. Right after a reload it does not.
    pub is_settled: bool,
}

impl Situation<'_> {
    /// Decides what has to happen.
    pub fn change(self) -> Change {
        let roles: BTreeMap<SocketAddr, Role> =
            self.wanted.iter().map(|server| (server.address, server.role)).collect();
        let may_drain = self.is_settled && self.another_is_up(&roles);
        let mut change = Change {
            layout: self.slots.iter().map(Self::serving).collect(),
            ..Change::default()
        };
        let mut held: BTreeSet<SocketAddr> = BTreeSet::new();
        for (place, slot) in self.slots.iter().enumerate() {
            let Some(address) = slot.used() else { continue };
            // Two slots with one server can only come from outside; one is enough.
            let role = roles.get(&address).filter(|_| held.insert(address));
            self.keep_or_leave((place, address), role.copied(), may_drain, &mut change);
        }
        self.add_missing(&roles, &held, &mut change);
        change
    }

    fn serving(slot: &Slot) -> Option<SocketAddr> {
        slot.used().filter(|_| slot.state() != SlotState::Draining)
    }

    /// Whether a server that is not going itself is up.
    fn another_is_up(self, roles: &BTreeMap<SocketAddr, Role>) -> bool {
        let serves = |at: SocketAddr| roles.get(&at) == Some(&Role::Serving);
        let is_up = |slot: &Slot| slot.state() == SlotState::Up;
        self.slots.iter().any(|slot| is_up(slot) && slot.address.is_some_and(serves))
    }

    fn keep_or_leave(
        self,
        (place, address): (usize, SocketAddr),
        role: Option<Role>,
        may_drain: bool,
        change: &mut Change,
    ) {
        let slot = &self.slots[place];
        let is_draining = slot.state() == SlotState::Draining;
        match role {
            None => {
                change.removals.push(self.command(slot, address, Act::Free));
                change.layout[place] = None;
            }
            Some(Role::Serving) if is_draining => {
                change.additions.push(self.command(slot, address, Act::Return));
                change.layout[place] = Some(address);
            }
            Some(Role::Going) if !is_draining && may_drain => {
                change.removals.push(self.command(slot, address, Act::Drain));
                change.layout[place] = None;
            }
            Some(Role::Going) => change.is_waiting |= !is_draining,
            Some(Role::Serving) => {}
        }
    }

    /// Gives slots to the servers that have none.
    fn add_missing(
        self,
        roles: &BTreeMap<SocketAddr, Role>,
        held: &BTreeSet<SocketAddr>,
        change: &mut Change,
    ) {
        let places = self.vacant(roles, &change.removals);
        let mut places = places.into_iter();
        for address in missing(self.wanted, held) {
            let Some(place) = places.next() else {
                change.n_homeless += 1;
                continue;
            };
            let slot = &self.slots[place];
            let act = match self.is_vouched {
                true => Act::Serve,
                false => Act::ServeOnceChecked,
            };
            change.additions.push(self.command(slot, address, act));
            change.layout[place] = Some(address);
        }
    }

    /// The places for new servers: first those that are free, then those of servers that drain.
    /// What such a server has begun goes on, whatever becomes of its slot, and a reload is saved.
    fn vacant(
        self,
        roles: &BTreeMap<SocketAddr, Role>,
        removals: &[Command],
    ) -> Vec<usize> {
        let drains = |slot: &Slot| {
            let is_going =
                slot.used().and_then(|at| roles.get(&at)) == Some(&Role::Going);
            let is_removed = removals.iter().any(|command| command.slot == slot.name);
            slot.state() == SlotState::Draining && is_going && !is_removed
        };
        let places = |is_vacant: &dyn Fn(&Slot) -> bool| {
            let slots = self.slots.iter().enumerate();
            slots.filter(|(_, slot)| is_vacant(slot)).map(|(place, _)| place).collect()
        };
        let free: Vec<usize> = places(&|slot| slot.state() == SlotState::Free);
        [free, places(&drains)].concat()
    }

    fn command(self, slot: &Slot, address: SocketAddr, act: Act) -> Command {
        let (backend, slot) = (self.backend.to_owned(), slot.name.clone());
        Command { backend, slot, address, act }
    }
}

/// The servers that serve and are not held, in their order.
fn missing<'at>(
    wanted: &'at [Server],
    held: &'at BTreeSet<SocketAddr>,
) -> impl Iterator<Item = SocketAddr> + 'at {
    let serving = wanted.iter().filter(|server| server.role == Role::Serving);
    serving.map(|server| server.address).filter(|address| !held.contains(address))
}

impl Command {
    /// The command's text, which is one line.
    pub fn text(&self) -> String {
        let at = format!("{}/{}", self.backend, self.slot);
        let (ip, port) = (self.address.ip(), self.address.port());
        let serve = |health: &str| {
            format!(
                "set server {at} addr {ip} port {port};set server {at} state ready;\
                 set server {at} health {health}"
            )
        };
        match self.act {
            Act::Serve => serve("up"),
            Act::ServeOnceChecked => serve("down"),
            Act::Return => format!("set server {at} state ready"),
            Act::Drain => format!("set server {at} state drain"),
            Act::Free => format!("set server {at} state maint"),
        }
    }
}

/// The number of slots for so many servers: room for as many again, as in a rolling upgrade, so
/// that few changes need a reload.
pub fn n_slots(n_servers: usize) -> usize {
    (2 * n_servers).next_multiple_of(4).max(4)
}

/// Slots for the next configuration: servers that are in use keep their slot, as far as it still
/// exists, and the wanted ones that have none get one.
pub fn layout(present: &Layout, wanted: &[Server]) -> Layout {
    let serving = wanted.iter().filter(|server| server.role == Role::Serving).count();
    let n_present = present.iter().flatten().count();
    let needed = n_slots(serving);
    let is_fit = (serving.max(n_present)..=4 * needed).contains(&present.len());
    let n =
        if is_fit && !present.is_empty() { present.len() } else { needed.max(n_present) };
    let mut slots: Layout =
        present.iter().copied().chain(std::iter::repeat(None)).take(n).collect();
    let cut = present.iter().skip(n).flatten().copied();
    let held: BTreeSet<SocketAddr> = present.iter().flatten().copied().collect();
    for address in cut.chain(missing(wanted, &held)) {
        match slots.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(address),
            None => slots.push(Some(address)),
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers_state::tests::slot;

    const A: &str = "10.0.0.1:31001";
    const B: &str = "10.0.0.2:31002";

    fn server(address: &str, role: Role) -> Server {
        Server {
            task: address.to_owned(),
            address: address.parse().unwrap(),
            is_own: false,
            role,
        }
    }

    fn situation<'at>(slots: &'at [Slot], wanted: &'at [Server]) -> Situation<'at> {
        Situation { backend: "b", slots, wanted, is_vouched: true, is_settled: true }
    }

    fn acts(commands: &[Command]) -> Vec<(&str, Act)> {
        commands.iter().map(|command| (command.slot.as_str(), command.act)).collect()
    }

    #[test]
    fn a_server_that_is_going_stays_until_another_is_up() {
        let wanted = [server(A, Role::Going), server(B, Role::Serving)];
        for (other, may_leave) in
            [(SlotState::Up, true), (SlotState::Down, false), (SlotState::Free, false)]
        {
            let slots = [slot("s1", A, SlotState::Up), slot("s2", B, other)];
            let change = situation(&slots, &wanted).change();
            assert_eq!(acts(&change.removals) == [("s1", Act::Drain)], may_leave);
            assert_eq!(change.is_waiting, !may_leave);
        }
    }

    #[test]
    fn two_servers_that_are_going_do_not_count_for_each_other() {
        let slots = [slot("s1", A, SlotState::Up), slot("s2", B, SlotState::Up)];
        let wanted = [server(A, Role::Going), server(B, Role::Going)];
        let change = situation(&slots, &wanted).change();
        assert!(change.removals.is_empty() && change.is_waiting);
    }

    #[test]
    fn right_after_a_reload_nothing_is_drained() {
        let slots = [slot("s1", A, SlotState::Up), slot("s2", B, SlotState::Up)];
        let wanted = [server(A, Role::Going), server(B, Role::Serving)];
        let mut situation = situation(&slots, &wanted);
        situation.is_settled = false;
        assert!(situation.change().removals.is_empty());
    }

    #[test]
    fn a_new_server_takes_a_free_slot() {
        let slots =
            [slot("s1", A, SlotState::Up), slot("s2", "0.0.0.0:1", SlotState::Free)];
        let wanted = [server(A, Role::Serving), server(B, Role::Serving)];
        let change = situation(&slots, &wanted).change();
        assert_eq!(acts(&change.additions), [("s2", Act::Serve)]);
        assert_eq!(change.additions[0].address.to_string(), B);
        let mut unvouched = situation(&slots, &wanted);
        unvouched.is_vouched = false;
        assert_eq!(
            unvouched.change().additions[0].text(),
            "set server b/s2 addr 10.0.0.2 port 31002;set server b/s2 state ready;\
             set server b/s2 health down"
        );
    }

    #[test]
    fn without_a_free_slot_a_server_is_homeless() {
        let slots = [slot("s1", A, SlotState::Up)];
        let wanted = [server(A, Role::Serving), server(B, Role::Serving)];
        assert_eq!(situation(&slots, &wanted).change().n_homeless, 1);
    }

    #[test]
    fn without_a_free_slot_a_server_gets_that_of_one_that_drains() {
        let slots = [slot("s1", A, SlotState::Draining), slot("s2", B, SlotState::Up)];
        let new = "10.0.0.3:31003";
        let wanted = [
            server(A, Role::Going),
            server(B, Role::Serving),
            server(new, Role::Serving),
        ];
        let change = situation(&slots, &wanted).change();
        assert_eq!(
            (acts(&change.additions), change.n_homeless),
            (vec![("s1", Act::Serve)], 0)
        );
        assert_eq!(change.layout, [new.parse().ok(), B.parse().ok()]);
        assert!(change.removals.is_empty());
    }

    #[test]
    fn a_server_that_has_ended_frees_its_slot() {
        let slots = [slot("s1", A, SlotState::Draining), slot("s2", B, SlotState::Up)];
        let change = situation(&slots, &[]).change();
        assert_eq!(acts(&change.removals), [("s1", Act::Free), ("s2", Act::Free)]);
    }

    #[test]
    fn a_server_that_does_not_go_after_all_returns() {
        let slots = [slot("s1", A, SlotState::Draining)];
        let wanted = [server(A, Role::Serving)];
        let change = situation(&slots, &wanted).change();
        assert_eq!(acts(&change.additions), [("s1", Act::Return)]);
        assert_eq!(change.layout, [A.parse().ok()]);
    }

    #[test]
    fn what_is_as_wanted_is_left_alone() {
        let slots = [slot("s1", A, SlotState::Up), slot("s2", B, SlotState::Draining)];
        let wanted = [server(A, Role::Serving), server(B, Role::Going)];
        let change = situation(&slots, &wanted).change();
        assert!(change.additions.is_empty() && change.removals.is_empty());
        assert!(!change.is_waiting);
    }

    #[test]
    fn servers_keep_their_slots_in_the_next_configuration() {
        let wanted = [server(B, Role::Serving), server(A, Role::Serving)];
        let present = vec![None, A.parse().ok(), None, None];
        let next = layout(&present, &wanted);
        assert_eq!(next, [B.parse().ok(), A.parse().ok(), None, None]);
        assert_eq!(layout(&Layout::new(), &wanted).len(), 4);
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        const STATES: [SlotState; 4] =
            [SlotState::Free, SlotState::Draining, SlotState::Up, SlotState::Down];

        fn address(n: u8) -> String {
            format!("10.0.0.{n}:31000")
        }

        /// Slots of different servers, and some of these servers and of others as wanted.
        fn scene() -> impl Strategy<Value = (Vec<Slot>, Vec<Server>)> {
            let slots = prop::collection::vec(prop::sample::select(&STATES[..]), 0..8);
            let roles =
                prop::sample::select(vec![None, Some(Role::Serving), Some(Role::Going)]);
            let wanted = prop::collection::vec(roles, 10);
            (slots, wanted).prop_map(|(states, roles)| {
                let slots = (0..)
                    .zip(states)
                    .map(|(n, state)| slot(&format!("s{}", n + 1), &address(n), state));
                let wanted = (0..).zip(roles);
                let wanted =
                    wanted.filter_map(|(n, role)| Some(server(&address(n), role?)));
                (slots.collect(), wanted.collect())
            })
        }

        /// What HAProxy would have after the commands.
        fn after(slots: &[Slot], change: &Change) -> Vec<Slot> {
            let mut slots = slots.to_vec();
            for command in change.additions.iter().chain(&change.removals) {
                let at = slots.iter_mut().find(|slot| slot.name == command.slot).unwrap();
                let state = match command.act {
                    Act::Serve | Act::Return => SlotState::Up,
                    Act::ServeOnceChecked => SlotState::Down,
                    Act::Drain => SlotState::Draining,
                    Act::Free => SlotState::Free,
                };
                *at = slot(&command.slot, &command.address.to_string(), state);
            }
            slots
        }

        fn serving(wanted: &[Server]) -> BTreeSet<SocketAddr> {
            missing(wanted, &BTreeSet::new()).collect()
        }

        proptest! {
            #[test]
            fn nothing_is_left_to_do_once_it_is_done((slots, wanted) in scene()) {
                // What leaves gives its place to what had none, and what is up lets others go.
                let mut slots = slots;
                for _ in 0..5 {
                    let change = situation(&slots, &wanted).change();
                    slots = after(&slots, &change);
                }
                let change = situation(&slots, &wanted).change();
                prop_assert!(change.additions.is_empty() && change.removals.is_empty());
                let placed = slots.iter().filter_map(Slot::used);
                let placed = placed.filter(|at| serving(&wanted).contains(at)).count();
                prop_assert_eq!(placed + change.n_homeless, serving(&wanted).len());
            }

            #[test]
            fn one_that_goes_is_drained_only_while_another_is_up((slots, wanted) in scene()) {
                let change = situation(&slots, &wanted).change();
                let is_up = |slot: &Slot| {
                    let is_wanted = slot.address.is_some_and(|at| serving(&wanted).contains(&at));
                    slot.state() == SlotState::Up && is_wanted
                };
                let drains = change.removals.iter().any(|command| command.act == Act::Drain);
                prop_assert!(!drains || slots.iter().any(is_up));
                prop_assert!(!drains || after(&slots, &change).iter().any(is_up));
            }

            #[test]
            fn the_next_configuration_has_every_server_once((slots, wanted) in scene()) {
                let change = situation(&slots, &wanted).change();
                let next = layout(&change.layout, &wanted);
                let placed: Vec<SocketAddr> = next.iter().flatten().copied().collect();
                let once: BTreeSet<SocketAddr> = placed.iter().copied().collect();
                prop_assert_eq!(placed.len(), once.len());
                prop_assert!(once.is_superset(&serving(&wanted)));
            }
        }
    }
}
