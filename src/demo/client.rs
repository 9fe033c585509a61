//! The client: hears of the call on its subscription, says that it rings, and calls back with the bridge token and its own credential.
//! Not here: the subscription (`subscription`), how messages get there (`agent`).

use super::agent::Agent;
use super::audio::{Audio, Hearing, Script};
use super::ladder::{Ladder, Lane};
use super::offer::{Answer, offer};
use super::subscription::{Awaited, Incoming};
use super::talk::{Ending, talk};
use super::{Failure, NAME, Phone, Plan, Wait};
use std::net::Ipv4Addr;
use tokio::time::{Duration, Instant, timeout};

/// What the client's packets call telephone-event; the caller calls it otherwise, so the relay must translate.
const EVENTS: u8 = 96;
/// How long the event of a call, and the answer to the callback, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client's side of a call that went through.
#[derive(Debug)]
pub(super) struct ClientLeg {
    /// The call's id.
    pub(super) call: String,
    /// When the event came.
    pub(super) notified: Instant,
    /// When the callback left.
    pub(super) called_back: Instant,
    /// When its 200 came.
    pub(super) answered: Instant,
    /// What was heard.
    pub(super) hearing: Hearing,
    /// How it ended.
    pub(super) ending: Ending,
}

/// Waits for the call and answers it; a story that breaks off is cancelled or hung up first.
pub(super) async fn answer(
    plan: &Plan,
    phone: &Phone,
    incoming: Awaited,
    ladder: Ladder,
) -> Result<ClientLeg, Failure> {
    let wait = Wait::for_("notification", PATIENCE);
    let incoming = match timeout(PATIENCE, incoming).await {
        Ok(Ok(told)) => told?,
        Ok(Err(_)) => return Err(Failure::new(Lane::Client, "the subscription is gone")),
        Err(_) => return Err(wait.failure(Lane::Client)),
    };
    phone.subscription.ringing(&incoming.call).await;
    let local = format!("sip:{NAME}@{}", Ipv4Addr::LOCALHOST);
    // RFC 8898 §2: a bearer token in SIP.
    let credentials = format!("Authorization: Bearer {}\r\n", phone.jwt);
    let agent = Agent::bind(Lane::Client, ladder, &local, &incoming.sip).await?;
    let mut agent = agent.with_credentials(credentials);
    let told = tell(plan, incoming, &mut agent, ladder).await;
    if told.is_err() {
        agent.abandon().await;
    }
    told
}

async fn tell(plan: &Plan, incoming: Incoming, agent: &mut Agent, ladder: Ladder) -> Result<ClientLeg, Failure> {
    let mut audio = Audio::bind(Lane::Client, ladder, Script::client(), EVENTS).await?;
    let token = format!("X-Bridge-Token: {}\r\n", incoming.token);
    let called_back = agent.invite(&token, &offer(audio.address(), EVENTS)).await?;
    let ok = agent.expect(200..=299, &Wait::for_("200 OK to the callback", PATIENCE)).await?;
    let answer = Answer::read(&ok.body).map_err(|lack| agent.failure(lack))?;
    let ending = talk(agent, &mut audio, &answer, plan.hangs_up == Lane::Client).await?;
    let Incoming { call, at: notified, .. } = incoming;
    Ok(ClientLeg { call, notified, called_back, answered: ok.at, hearing: audio.finish(answer.events).await, ending })
}
