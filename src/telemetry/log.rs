//! The log: `tracing`'s events as one line each on standard error, which systemd puts into the journal.
//! Not here: what is logged, and at which level (whoever logs decides). Lines go through a bounded queue to a thread of their
//! own: a journal that stalls costs lines, which are counted, and never a call.
//!
//! No control character reaches the output: what a peer wrote can neither end a line nor command a terminal.

use crate::config::{self, LogFormat};
use crate::limits;
use crate::time::Duration;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// How long the end of the process waits for the last lines to be written, and how often it looks.
const LAST_WAIT: Duration = Duration::from_secs(1);
const LAST_STEP: Duration = Duration::from_millis(1);

/// The running log. Dropping it writes what is queued.
pub struct Log {
    sink: Sink,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Makes `tracing` log as `config` says, or as `RUST_LOG` says if it is set. Once a process: an error the second time.
    pub fn start(config: &config::Log) -> io::Result<Log> {
        let log = Log::to(io::stderr())?;
        let level = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
        let filter = EnvFilter::new(level.as_deref().unwrap_or(&config.level));
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.sink.clone());
        let set = match config.format {
            LogFormat::Text => {
                subscriber.event_format(OneLine(Format::default())).finish().with(no_frames()).try_init()
            }
            LogFormat::Json => {
                subscriber.json().flatten_event(true).map_event_format(OneLine).finish().with(no_frames()).try_init()
            }
        };
        set.map(|()| log).map_err(io::Error::other)
    }

    /// How many lines were lost because the output was too slow.
    pub fn dropped(&self) -> u64 {
        self.sink.dropped.load(Ordering::Relaxed)
    }

    fn to(output: impl Write + Send + 'static) -> io::Result<Log> {
        let (lines, queue) = sync_channel(limits::LOG_LINES_QUEUED_MAX);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || write_lines(output, &queue))?;
        Ok(Log { sink: Sink { lines, dropped: Arc::default() }, thread: Some(thread) })
    }
}

/// The WebSocket library writes whole frames at `trace`, and in them are bridge tokens and JWTs: that never gets into a log,
/// whatever else is traced.
fn no_frames() -> FilterFn {
    filter_fn(|event| *event.level() != Level::TRACE || !event.target().contains("tungstenite"))
}

impl Drop for Log {
    /// The subscriber keeps a sender for good, so the end of the queue must be said. An output that stalls is not waited for.
    fn drop(&mut self) {
        let deadline = Instant::now() + LAST_WAIT;
        let ended = |thread: &JoinHandle<()>| thread.is_finished() || Instant::now() > deadline;
        let Some(thread) = self.thread.take() else { return };
        while !ended(&thread) && self.sink.lines.try_send(Message::End).is_err() {
            std::thread::sleep(LAST_STEP);
        }
        while !ended(&thread) {
            std::thread::sleep(LAST_STEP);
        }
    }
}

enum Message {
    Line(Vec<u8>),
    End,
}

fn write_lines(mut output: impl Write, queue: &Receiver<Message>) {
    while let Ok(Message::Line(line)) = queue.recv() {
        // Nobody is left to tell when even standard error fails.
        let _ = output.write_all(&line);
    }
    let _ = output.flush();
}

/// Where the formatter writes: each line becomes one message.
#[derive(Clone)]
struct Sink {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        self.clone()
    }
}

impl Write for Sink {
    /// Takes a whole line, as the formatter hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(Message::Line(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Formats with another format, then escapes what must not be in a line.
struct OneLine<F>(F);

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        escape(line.trim_end_matches('\n'), &mut out)?;
        out.write_char('\n')
    }
}

/// Writes control characters, line separators and marks that turn the direction of writing as `\u000a`, which is also JSON.
fn escape(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    text.chars().try_for_each(|c| match c {
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => write!(out, "\\u{:04x}", u32::from(c)),
        c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)),
        c => out.write_char(c),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What both formats make of one event.
    fn logged(event: impl Fn()) -> (String, String) {
        let output = [Shared::default(), Shared::default()];
        let logs = output.clone().map(|output| Log::to(output).unwrap());
        let text = tracing_subscriber::fmt().with_writer(logs[0].sink.clone());
        let json = tracing_subscriber::fmt().with_writer(logs[1].sink.clone()).json().flatten_event(true);
        tracing::subscriber::with_default(text.event_format(OneLine(Format::default())).finish(), &event);
        tracing::subscriber::with_default(json.map_event_format(OneLine).finish(), &event);
        drop(logs);
        let [text, json] = output.map(|output| String::from_utf8(output.0.lock().unwrap().clone()).unwrap());
        (text, json)
    }

    #[test]
    fn what_a_peer_wrote_can_neither_end_a_line_nor_command_a_terminal() {
        for text in ["a\r\nERROR forged", "a\u{1b}[2J", "a\u{7f}\u{85}\u{9b}2J", "a\u{202e}b\u{2028}c", "a\0b\tc"] {
            let (line, json) = logged(|| tracing::info!(from = %text, quoted = ?text, "said {text}"));
            for line in [&line, &json] {
                assert_eq!(line.lines().count(), 1, "{line:?}");
                let inner = line.trim_end_matches('\n');
                assert!(
                    !inner.contains(|c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)),
                    "{line:?}"
                );
            }
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["from"], text, "JSON loses nothing");
        }
    }

    #[test]
    fn a_line_has_its_level_fields_and_message() {
        let (line, json) = logged(|| tracing::warn!(call = 7, "lost"));
        assert!(line.contains("WARN") && line.contains("call=7") && line.contains("lost"), "{line}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["level"], &value["call"], &value["message"]), (&"WARN".into(), &7.into(), &"lost".into()));
    }

    #[test]
    fn an_output_that_stalls_costs_lines_and_never_waits() {
        struct Stalled(Receiver<()>);
        impl Write for Stalled {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (go, stalled) = std::sync::mpsc::channel();
        let log = Log::to(Stalled(stalled)).unwrap();
        let mut sink = log.sink.clone();
        for _ in 0..limits::LOG_LINES_QUEUED_MAX + 10 {
            sink.write_all(b"x\n").unwrap();
        }
        // One line may already be in the thread's hands.
        assert!((9..=10).contains(&log.dropped()), "{}", log.dropped());
        drop(go);
    }
}
