//! What crosses the wire: requests received by method, responses written by status. For metrics.
//! Not here: what went wrong (`stats`).

use crate::sip::wire::Method;

/// Statuses are 100 to 699.
const STATUSES: std::ops::Range<u16> = 100..700;

/// Counters since the start.
pub struct Traffic {
    requests: [u64; Method::KNOWN.len() + 1],
    responses: Box<[u64]>,
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic { requests: [0; Method::KNOWN.len() + 1], responses: vec![0; STATUSES.len()].into() }
    }
}

impl Traffic {
    /// Requests received, repetitions too, by method; those of methods that we do not know as `other`.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Method::KNOWN.iter().map(|(name, _)| *name).chain(["other"]).zip(self.requests.iter().copied())
    }

    /// Responses written, by status; those that there were.
    pub fn responses(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.zip(self.responses.iter().copied()).filter(|(_, count)| *count > 0)
    }

    pub(super) fn count_request(&mut self, method: Method<'_>) {
        let known = Method::KNOWN.iter().position(|(_, known)| *known == method);
        if let Some(count) = self.requests.get_mut(known.unwrap_or(Method::KNOWN.len())) {
            *count += 1;
        }
    }

    pub(super) fn count_response(&mut self, status: u16) {
        let at = status.checked_sub(STATUSES.start).map(usize::from);
        if let Some(count) = at.and_then(|at| self.responses.get_mut(at)) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_by_its_name() {
        let mut traffic = Traffic::default();
        for method in [Method::Invite, Method::Invite, Method::Other(b"X")] {
            traffic.count_request(method);
        }
        for status in [100, 699, 200, 200, 99, 700] {
            traffic.count_response(status);
        }
        let requests: Vec<_> = traffic.requests().filter(|(_, count)| *count > 0).collect();
        assert_eq!(requests, [("INVITE", 2), ("other", 1)]);
        // 99 is no status; it must not be taken for one.
        assert_eq!(traffic.responses().collect::<Vec<_>>(), [(100, 1), (200, 2), (699, 1)]);
    }
}
