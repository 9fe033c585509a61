//! The rules of telephones that are told by MESSAGE, seen from outside: each call once, its end once and after it, and one request at a time
//! (RFC 3428 §8).
//! Not here: who is registered (`dialled`).

use super::super::chance::Hash;
use super::super::text::Seen;
use super::{Verdict, hold};
use crate::id::CallId;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// How long a MESSAGE waits for its answer: 64*T1.
const LIFE: Duration = Duration::from_secs(32);

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum News {
    Incoming,
    Gone,
    Ended,
}

/// All telephones of one node.
#[derive(Default)]
pub(crate) struct Told {
    /// The MESSAGE that each has not answered, by its branch, and since when.
    open: BTreeMap<u32, (u64, Instant)>,
    said: BTreeSet<(u32, CallId, News)>,
    /// Somebody has something to hear now.
    pub(crate) has_news: bool,
}

impl Told {
    /// A MESSAGE is sent. `is_gone`: its call waits no more.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        seen: &Seen<'_>,
        (agent, call): (u32, CallId),
        (news, is_gone): (News, bool),
    ) -> Verdict {
        let open = self.open.insert(agent, (Hash::of(&[seen.branch()]), now));
        hold(open.is_none(), || format!("RFC 3428 §8: a{agent} is told two things at once"))?;
        hold((news != News::Incoming) == is_gone, || format!("a{agent} is told {news:?}, which is not true now"))?;
        // Who has had a call was told of it, but perhaps before it registered here.
        let is_known = news != News::Gone || self.knows(agent, call);
        hold(is_known, || format!("a{agent} is told of the end of what it was not told of"))?;
        hold(self.said.insert((agent, call, news)), || format!("a{agent} is told {news:?} twice"))
    }

    /// A MESSAGE gets its final response.
    pub(crate) fn answered(&mut self, seen: &Seen<'_>, agent: u32) {
        if self.open.get(&agent).is_some_and(|(branch, _)| *branch == Hash::of(&[seen.branch()])) {
            self.open.remove(&agent);
            self.has_news = true;
        }
    }

    /// A telephone's connection is gone: what is on its way is not answered, and over another it is told anew.
    pub(crate) fn cut_off(&mut self, agent: u32) {
        self.open.remove(&agent);
        self.said.retain(|(told, _, _)| *told != agent);
    }

    /// Whoever has not answered for so long is not there any more.
    pub(crate) fn silent(&mut self, now: Instant) -> Vec<u32> {
        let silent = self.open.iter().filter(|(_, (_, since))| now.since(*since) >= LIFE).map(|(agent, _)| *agent);
        let silent: Vec<u32> = silent.collect();
        silent.iter().for_each(|agent| _ = self.open.remove(agent));
        silent
    }

    /// Whether something is on its way to a telephone.
    pub(crate) fn is_open(&self, agent: u32) -> bool {
        self.open.contains_key(&agent)
    }

    /// Whether a telephone was told that a call waits.
    pub(crate) fn knows(&self, agent: u32, call: CallId) -> bool {
        self.said.contains(&(agent, call, News::Incoming))
    }
}
