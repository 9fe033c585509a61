//! The caller: what a SIP trunk's gateway does with one call. INVITE, wait through 100 and 180 for the answer, talk, and hang up or be hung up on.
//! Not here: how messages get there (`agent`), and what the client does meanwhile (`client`).

use super::agent::Agent;
use super::audio::{Audio, Hearing, Script};
use super::ladder::{Ladder, Lane};
use super::offer::{Answer, offer};
use super::talk::{Ending, talk};
use super::{Failure, NUMBER, Plan, Wait};
use std::net::Ipv4Addr;
use tokio::time::{Duration, Instant};

/// What the caller's packets call telephone-event; the client calls it otherwise.
const EVENTS: u8 = 101;

/// The caller's side of a call that went through.
#[derive(Debug)]
pub(super) struct CallerLeg {
    /// When the INVITE left.
    pub(super) invited: Instant,
    /// When 100 came.
    /// When 180 or 183 came.
    pub(super) ringing: Instant,
    /// When 200 came.
    pub(super) answered: Instant,
    /// What was heard.
    pub(super) hearing: Hearing,
    /// How it ended.
    pub(super) ending: Ending,
}

/// Makes the call; a story that breaks off is cancelled or hung up first.
pub(super) async fn call(plan: &Plan, ladder: Ladder) -> Result<CallerLeg, Failure> {
    let local = format!("sip:{}@{}", plan.from, Ipv4Addr::LOCALHOST);
    let target = format!("sip:{NUMBER}@{}", plan.sip);
    let mut agent = Agent::bind(Lane::Trunk, ladder, &local, &target).await?;
    let told = tell(plan, &mut agent, ladder).await;
    if told.is_err() {
        agent.abandon().await;
    }
    told
}

async fn tell(plan: &Plan, agent: &mut Agent, ladder: Ladder) -> Result<CallerLeg, Failure> {
    let mut audio = Audio::bind(Lane::Trunk, ladder, Script::caller(), EVENTS).await?;
    let invited = agent.invite("", &offer(audio.address(), EVENTS)).await?;
    let soon = Duration::from_secs(2);
    let ringing = agent.expect(180..=183, &Wait::for_("180 Ringing", soon)).await?.at;
    // The client has five seconds for its event and five for its answer.
    let ok = agent.expect(200..=299, &Wait::for_("200 OK to INVITE", Duration::from_secs(10))).await?;
    let answer = Answer::read(&ok.body).map_err(|lack| agent.failure(lack))?;
    let ending = talk(agent, &mut audio, &answer, plan.hangs_up == Lane::Trunk).await?;
    Ok(CallerLeg { invited, ringing, answered: ok.at, hearing: audio.finish(answer.events).await, ending })
}
