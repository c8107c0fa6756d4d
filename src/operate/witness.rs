//! Asks the components of a gate how they are.

use futures::FutureExt;
use futures::future::{BoxFuture, join_all, ready};
use futures::stream::{self, StreamExt};

use super::arrival::Lookout;
use super::courier::Registries;
use super::members::ask_member;
use super::reach;
use super::services::Services;
use crate::api::zookeeper::{Answer, Mode, Status};
use crate::component::{Spec, remedy};
use crate::event;
use crate::inventory::catalog::Component;
use crate::plan::Gate;
use crate::run::gate::{Look, Witness};
use crate::run::units::{self, Stuck, UnitRun};
use crate::secret::Redactor;
use crate::topology::Member;

/// So many hosts are asked about their units at once.
const AT_ONCE: usize = 32;

/// Looks through the hosts' own eyes.
pub(super) struct Eyes<'a> {
    pub(super) services: Services<'a>,
    pub(super) registries: Registries<'a>,
    /// None where no machine boots anew, and no lock is held.
    pub(super) lookout: Option<Lookout<'a>>,
    /// Keeps secrets out of what units say.
    pub(super) redactor: &'a Redactor,
}

impl Witness for Eyes<'_> {
    fn look<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, Look> {
        async move {
            match (gate, &self.lookout) {
                (Gate::Booted(reboots), Some(lookout)) => lookout.look(reboots).await,
                (_, Some(lookout)) => lookout.with_lock(self.see(gate).await).await,
                (_, None) => self.see(gate).await,
            }
        }
        .boxed()
    }

    fn units<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, Vec<UnitRun>> {
        async move {
            let Some((component, hosts)) = gate.who() else { return Vec::new() };
            let looks = hosts.into_iter().filter_map(|host| {
                let remote = self.services.fleet.get(host)?;
                Some(units::look(host, remote.as_ref(), Spec::of(component).unit))
            });
            let looks = stream::iter(looks.collect::<Vec<_>>());
            looks.buffer_unordered(AT_ONCE).filter_map(ready).collect().await
        }
        .boxed()
    }

    fn barred<'a>(&'a self, gate: &'a Gate) -> BoxFuture<'a, Vec<String>> {
        async move {
            let Some((_, hosts)) = gate.who() else { return Vec::new() };
            let Services { topology, fleet, .. } = self.services;
            let ways = reach::ways_of(topology, &hosts);
            reach::sentences(&reach::barred(fleet, ways).await)
        }
        .boxed()
    }

    fn last_words<'a>(&'a self, stuck: &'a Stuck) -> BoxFuture<'a, String> {
        async move {
            match self.services.fleet.get(&stuck.host) {
                Some(remote) => {
                    let words = units::last_words(remote.as_ref(), stuck.unit).await;
                    let words = self.redactor.clean(&words);
                    match remedy(stuck.unit, &words) {
                        Some(remedy) => format!("{words}\n{remedy}"),
                        None => words,
                    }
                }
                None => String::new(),
            }
        }
        .boxed()
    }
}

impl Eyes<'_> {
    async fn see(&self, gate: &Gate) -> Look {
        match gate {
            Gate::Serves { component, members } => self.ask(*component, members).await,
            Gate::Booted(_) => Look::Never("nobody looks out for it".to_owned()),
        }
    }

    /// How these instances of a component are, by their own word.
    async fn ask(&self, component: Component, members: &[Member]) -> Look {
        match component {
            Component::Registry => self.ask_registries(members).await,
            Component::Zookeeper => self.ask_ensemble(members).await,
            Component::MesosAgent => self.services.look_at_agents(members).await,
            Component::MesosMaster | Component::Marathon | Component::Chronos => {
                self.services.look(component, members).await
            }
        }
    }

    async fn ask_registries(&self, members: &[Member]) -> Look {
        for member in members {
            match self.registries.check(&member.host).await {
                Ok(()) => {}
                Err(error) if error.is_final() => {
                    return Look::Never(event::in_words(&error));
                }
                Err(error) => return Look::Closed(event::in_words(&error)),
            }
        }
        Look::Open("it asks for a password and takes ours".to_owned())
    }

    async fn ask_ensemble(&self, members: &[Member]) -> Look {
        let fleet = self.services.fleet;
        let answers =
            join_all(members.iter().map(|member| ask_member(fleet, member))).await;
        let all = self.services.topology.members_of(Component::Zookeeper);
        judge(members, &answers, all.len() == members.len())
    }
}

/// What members say together. A leader still counts followers that froze a moment ago, so each
/// has to answer for itself; a leader outside of `members` is not missed unless they are the
/// `whole` ensemble.
fn judge(members: &[Member], answers: &[Result<Answer, String>], whole: bool) -> Look {
    let said: Vec<String> = members
        .iter()
        .zip(answers)
        .map(|(member, answer)| format!("{} {}", member.host, in_words(answer)))
        .collect();
    let serving: Vec<&Status> = answers
        .iter()
        .filter_map(|answer| match answer {
            Ok(Answer::Serving(status)) => Some(status),
            _ => None,
        })
        .collect();
    let leads =
        |status: &&&Status| matches!(status.mode, Mode::Leader | Mode::Standalone);
    let mut leaders = serving.iter().filter(leads);
    let synced = match (leaders.next(), leaders.next()) {
        (Some(leader), None) => is_synced(leader, members.len()),
        (None, None) => !whole,
        _ => false,
    };
    if serving.len() == members.len() && synced {
        Look::Open(said.join(", "))
    } else {
        Look::Closed(said.join(", "))
    }
}

fn is_synced(leader: &Status, n_members: usize) -> bool {
    let synced = leader.synced_followers.unwrap_or(0) as usize;
    leader.mode == Mode::Standalone || synced + 1 >= n_members
}

fn in_words(answer: &Result<Answer, String>) -> String {
    match answer {
        Ok(Answer::Serving(status)) => match (status.mode, status.synced_followers) {
            (Mode::Leader, Some(synced)) => format!("leads {synced} synced"),
            (Mode::Leader, None) => "leads".to_owned(),
            (Mode::Follower | Mode::Observer, _) => "follows".to_owned(),
            (Mode::Standalone, _) => "serves alone".to_owned(),
        },
        Ok(Answer::NotServing) => "runs without a quorum".to_owned(),
        Err(error) => format!("does not answer ({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u8) -> Member {
        Member {
            id: id.into(),
            host: format!("control-{id}").parse().unwrap(),
            address: [10, 0, 0, id].into(),
        }
    }

    fn serving(mode: Mode, synced_followers: Option<u32>) -> Result<Answer, String> {
        Ok(Answer::Serving(Status {
            version: "3.8.0".to_owned(),
            mode,
            zxid: None,
            followers: synced_followers,
            synced_followers,
            voters: Some(3),
        }))
    }

    fn check(answers: &[Result<Answer, String>], whole: bool, open: bool) {
        let ids = 1..=u8::try_from(answers.len()).unwrap();
        let members: Vec<Member> = ids.map(member).collect();
        let look = judge(&members, answers, whole);
        assert_eq!(matches!(look, Look::Open(_)), open, "{look:?}");
    }

    #[test]
    fn an_ensemble_stands_when_one_leads_and_all_others_follow_in_step() {
        let (leader, follower) =
            (serving(Mode::Leader, Some(2)), serving(Mode::Follower, None));
        check(&[leader.clone(), follower.clone(), follower.clone()], true, true);
        check(&[serving(Mode::Leader, Some(0))], true, true);
        check(&[serving(Mode::Standalone, None)], true, true);
    }

    #[test]
    fn a_leader_s_word_for_its_followers_is_not_enough() {
        let (leader, follower) =
            (serving(Mode::Leader, Some(2)), serving(Mode::Follower, None));
        check(&[leader.clone(), follower.clone(), Ok(Answer::NotServing)], true, false);
        check(&[leader, follower, Err("silent".to_owned())], true, false);
    }

    #[test]
    fn followers_that_are_not_synced_or_have_no_leader_do_not_stand() {
        let follower = serving(Mode::Follower, None);
        let behind = serving(Mode::Leader, Some(1));
        check(&[behind, follower.clone(), follower.clone()], true, false);
        check(&[follower.clone(), follower.clone(), follower.clone()], true, false);
        let leader = serving(Mode::Leader, Some(2));
        check(&[leader.clone(), leader, follower], true, false);
    }

    #[test]
    fn the_others_of_a_leader_stand_without_it() {
        let follower = serving(Mode::Follower, None);
        check(&[follower.clone(), follower], false, true);
    }
}
