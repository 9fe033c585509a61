//! From the answer to the end: audio and signalling side by side, then BYE from whoever's turn it is. The same for both ends.
//! Not here: packets (`audio`), messages (`agent`).

use super::agent::{Agent, Heard};
use super::audio::Audio;
use super::offer::Answer;
use super::{Failure, Wait};
use std::pin::pin;
use tokio::time::Duration;

/// Longest that the audio may take: its two seconds, and patience with a busy machine.
const AUDIO_WITHIN: Duration = Duration::from_secs(10);
/// How long after our own audio's end the other end may still take to hang up.
const BYE_WITHIN: Duration = Duration::from_secs(10);

/// How a call ended for one end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// We sent BYE and had its 200 after this long.
    HungUp(Duration),
    /// The other end's BYE came.
    WasHungUpOn,
}

/// Sends and hears; when both have fallen silent, hangs up if it is our turn, else waits to be hung up on.
pub(super) async fn talk(
    agent: &mut Agent,
    audio: &mut Audio,
    answer: &Answer,
    our_turn: bool,
) -> Result<Ending, Failure> {
    let wait = Wait::for_("end of the audio", AUDIO_WITHIN);
    let mut running = pin!(audio.run(answer));
    loop {
        tokio::select! {
            ended = &mut running => {
                ended?;
                break;
            }
            heard = agent.next(&wait) => match heard? {
                // Whoever hangs up has heard us fall silent, so nothing is cut off here; if it is, the packet counts tell.
                Heard::Bye => return Ok(Ending::WasHungUpOn),
                Heard::Response(_) => {}
            },
        }
    }
    if our_turn {
        return Ok(Ending::HungUp(agent.bye().await?));
    }
    let wait = Wait::for_("BYE", BYE_WITHIN);
    loop {
        match agent.next(&wait).await? {
            Heard::Bye => return Ok(Ending::WasHungUpOn),
            Heard::Response(_) => {}
        }
    }
}
