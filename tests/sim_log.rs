//! What the core logs while it is simulated. A file of its own: one process has one log, and other tests would write into it.
//! Runs with the feature `sim`.

use parkway::sim::{Case, Scenario, Simulator};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// I12: nothing that is logged, at the finest level, is a token or a JWT.
#[test]
fn no_log_line_holds_a_secret() {
    let written = Arc::new(Mutex::new(Vec::new()));
    let log = Log(Arc::clone(&written));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .with_writer(move || log.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let simulator = Simulator::new();
        for seed in 0..20 {
            assert_eq!(simulator.run(&Case::new(seed, Scenario::Mixed)).violation, None);
        }
    });
    let text = String::from_utf8(std::mem::take(&mut written.lock().unwrap())).unwrap();
    assert!(text.contains("a callback was refused") && text.lines().count() > 1_000, "{} bytes", text.len());
    assert!(is_secret(&format!("x {} y", "A".repeat(135))) && is_secret("eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln"));
    assert_eq!(text.lines().find(|line| is_secret(line)), None);
}

/// Whether a line has something as long as a bridge token, or what begins like a JWT.
fn is_secret(line: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    line.contains("eyJ") || line.split(|c| !is_word(c)).any(|word| word.len() >= 100)
}

/// A place to write to that can be looked into.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
