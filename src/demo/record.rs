//! Reads the call detail records that the daemon writes: one JSON object a line, found again by the call's id.
//! Not here: what a record should say (`check`), and writing it (`telemetry`).

use super::Story;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::time::{Duration, Instant, sleep};

/// The member that holds the call's id, as the events have it too.
const CALL: &str = "call";
/// How long after the last call its record may take.
const RECORDS_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// After all records are there: time for a second one of the same call, which must not come.
const GRACE: Duration = Duration::from_millis(200);

/// The records by call id. A call should have exactly one.
#[derive(Debug, Default)]
pub(super) struct Records(BTreeMap<String, Vec<Value>>);

impl Records {
    /// The records of a call, in the order of the file.
    pub(super) fn of(&self, call: &str) -> &[Value] {
        self.0.get(call).map(Vec::as_slice).unwrap_or_default()
    }

    /// Reads the text of a record file; a line that is no record of a call is nobody's.
    pub(super) fn read(text: &str) -> Records {
        let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for record in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if let Some(call) = record.get(CALL).and_then(Value::as_str).map(str::to_owned) {
                records.entry(call).or_default().push(record);
            }
        }
        Records(records)
    }
}

/// Waits, within bounds, until each call that a client heard of has its record. What is missing then is missing.
pub(super) async fn wait(path: &Path, stories: &[Story]) -> Records {
    let calls = || stories.iter().filter_map(|story| story.client.as_ref().ok()).map(|client| client.call.as_str());
    let complete = |records: &Records| calls().all(|call| !records.of(call).is_empty());
    let until = Instant::now() + RECORDS_WITHIN;
    while Instant::now() < until && !complete(&look(path)) {
        sleep(PAUSE).await;
    }
    sleep(GRACE).await;
    look(path)
}

/// A file that is not there yet has no records.
fn look(path: &Path) -> Records {
    Records::read(&std::fs::read_to_string(path).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_by_their_call_and_half_lines_are_nobodys() {
        let records =
            Records::read("{\"call\":\"a\",\"n\":1}\n\n{\"n\":2}\n{\"call\":\"a\"}\n{\"call\":\"b\"}\n{\"call\":\"c\"");
        for (call, count) in [("a", 2), ("b", 1), ("c", 0), ("", 0)] {
            assert_eq!(records.of(call).len(), count, "{call}");
        }
    }
}
