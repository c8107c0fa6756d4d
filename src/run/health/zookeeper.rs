//! Asks the members of the ensemble about their health, each through its own host.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;

use crate::api::zookeeper::{self, Answer, Mode, Status};
use crate::event::in_words;
use crate::host::HostName;
use crate::inventory::Component;
use crate::inventory::component::ZOOKEEPER_PORT;
use crate::remote::RemoteError;
use crate::run::Fleet;
use crate::run::gate::GateState;
use crate::topology::{Member, Topology};

/// How long a member may take to answer a short question.
const ANSWER: Duration = Duration::from_secs(5);

/// What each member of the ensemble reports about itself, or why it does not answer.
pub(crate) async fn members(
    fleet: &Fleet,
    topology: &Topology,
) -> BTreeMap<HostName, Result<Answer, String>> {
    let members =
        topology.zookeeper().into_iter().flat_map(|ensemble| ensemble.members());
    let asked = members.map(|member| async move {
        (member.host.clone(), ask_member(fleet, member).await)
    });
    join_all(asked).await.into_iter().collect()
}

/// Asks a member for its state, through its own host.
pub(crate) async fn ask_member(fleet: &Fleet, member: &Member) -> Result<Answer, String> {
    let remote = fleet.get(&member.host).ok_or("there is no connection to its host")?;
    let address = member.address.to_string();
    let stream = remote.dial(&address, ZOOKEEPER_PORT, ANSWER).await.map_err(
        |error| match error {
            RemoteError::Dial { .. } => {
                format!("nothing answers on port {ZOOKEEPER_PORT}")
            }
            error => in_words(&error),
        },
    )?;
    zookeeper::mntr(stream, ANSWER).await.map_err(|error| error.to_string())
}

/// Whether these members serve, in sync with the leader.
pub(crate) async fn state(
    fleet: &Fleet,
    topology: &Topology,
    members: &[Member],
) -> GateState {
    let answers = join_all(members.iter().map(|member| ask_member(fleet, member))).await;
    let all = topology.members_of(Component::Zookeeper);
    judge(members, &answers, all.len() == members.len())
}

/// What members report together. A leader still counts followers that froze a moment ago, so each
/// member must answer for itself; a leader outside of `members` is accepted unless they are the
/// `whole` ensemble.
fn judge(
    members: &[Member],
    answers: &[Result<Answer, String>],
    whole: bool,
) -> GateState {
    let said: Vec<String> = members
        .iter()
        .zip(answers)
        .map(|(member, answer)| format!("{} {}", member.host, answer_in_words(answer)))
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
        GateState::Open(said.join(", "))
    } else {
        GateState::Closed(said.join(", "))
    }
}

fn is_synced(leader: &Status, n_members: usize) -> bool {
    let synced = leader.synced_followers.unwrap_or(0) as usize;
    leader.mode == Mode::Standalone || synced + 1 >= n_members
}

fn answer_in_words(answer: &Result<Answer, String>) -> String {
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
    use super::super::fixture::member;
    use super::*;

    fn serving(mode: Mode, synced_followers: Option<u32>) -> Result<Answer, String> {
        Ok(Answer::Serving(Status {
            version: "3.8.0".to_owned(),
            mode,
            synced_followers,
        }))
    }

    fn check(answers: &[Result<Answer, String>], whole: bool, open: bool) {
        let ids = 1..=u8::try_from(answers.len()).unwrap();
        let members: Vec<Member> = ids.map(member).collect();
        let look = judge(&members, answers, whole);
        assert_eq!(matches!(look, GateState::Open(_)), open, "{look:?}");
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
