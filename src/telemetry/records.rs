//! Call detail records: one JSON line a call, appended to a file that log shippers follow and logrotate moves away.
//! Not here: what a record says (`call::record`). Whoever hands one in never waits: it goes through a bounded queue to a thread.
//!
//! A disk that refuses them costs nothing at first: records wait in memory, bounded, and are tried again; the oldest that find no
//! room are counted and go to the log instead, so that they are in some file at least.

use super::Metrics;
use crate::limits;
use crate::time::Duration;
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// How long after a failure the disk is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// The way to the file. Dropping the last handle writes what is queued.
pub struct Records {
    metrics: Arc<Metrics>,
    /// `None` without a file: then the log alone has the records.
    writer: Option<(SyncSender<Message>, JoinHandle<()>)>,
}

enum Message {
    Line(String),
    Reopen,
}

impl Records {
    /// Opens the file, so that a path which cannot be written is found at start, and starts the thread.
    pub fn start(path: Option<&Path>, metrics: Arc<Metrics>) -> io::Result<Records> {
        let Some(path) = path else { return Ok(Records { metrics, writer: None }) };
        let output = Output::Open(open(path)?);
        let writer = Writer { path: path.to_owned(), output, waiting: VecDeque::new(), metrics: Arc::clone(&metrics) };
        let (lines, queue) = sync_channel(limits::RECORDS_QUEUED_MAX);
        let thread = std::thread::Builder::new().name("records".into()).spawn(move || writer.run(&queue))?;
        Ok(Records { metrics, writer: Some((lines, thread)) })
    }

    /// Takes one record: an object, written as one line to the log and to the file. Never waits.
    pub fn write(&self, record: &impl Serialize) {
        let line = match serde_json::to_string(record) {
            Ok(line) => line,
            Err(error) => return lose(&self.metrics, &error.to_string()),
        };
        to_log(&line);
        let Some((lines, _)) = &self.writer else { return };
        if let Err(TrySendError::Full(Message::Line(line)) | TrySendError::Disconnected(Message::Line(line))) =
            lines.try_send(Message::Line(line))
        {
            lose(&self.metrics, &line);
        }
    }

    /// Opens the file anew, after logrotate has moved it away. The records before it are in the old file.
    pub fn reopen(&self) {
        if let Some((lines, _)) = &self.writer {
            // A full queue means that the disk is refusing, and then the file is opened anew at each try.
            let _ = lines.try_send(Message::Reopen);
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        if let Some((lines, thread)) = self.writer.take() {
            drop(lines);
            let _ = thread.join();
        }
    }
}

/// A record in the log, at `info`: whether there is a file or not.
fn to_log(line: &str) {
    tracing::info!(target: "parkway::record", record = line, "call detail record");
}

fn lose(metrics: &Metrics, line: &str) {
    metrics.records_total.with("lost").inc();
    tracing::error!(target: "parkway::record", record = line, "no room for this record in the file");
}

/// The thread's side.
struct Writer {
    path: PathBuf,
    output: Output,
    /// What the file has not taken yet, oldest first.
    waiting: VecDeque<String>,
    metrics: Arc<Metrics>,
}

enum Output {
    Open(File),
    /// To be opened for the next record.
    Closed,
    /// Not to be tried again before this time: a full disk is not hammered.
    Refused(Instant),
}

impl Writer {
    fn run(mut self, queue: &Receiver<Message>) {
        loop {
            let message = match self.waiting.is_empty() {
                true => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => queue.recv_timeout(RETRY),
            };
            match message {
                Ok(Message::Line(line)) => self.keep(line),
                Ok(Message::Reopen) => self.output = open(&self.path).map_or(Output::Closed, Output::Open),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            self.drain();
            self.metrics.records_waiting.set(u64::try_from(self.waiting.len()).unwrap_or(u64::MAX));
        }
    }

    fn keep(&mut self, line: String) {
        if self.waiting.len() >= limits::RECORDS_QUEUED_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            lose(&self.metrics, &oldest);
        }
        self.waiting.push_back(line);
    }

    /// Writes what waits, until the disk refuses.
    fn drain(&mut self) {
        while let Some(line) = self.waiting.front() {
            let tried = match &mut self.output {
                Output::Open(file) => append(file, line),
                Output::Refused(until) if Instant::now() < *until => return,
                Output::Closed | Output::Refused(_) => match open(&self.path) {
                    Ok(file) => {
                        self.output = Output::Open(file);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match tried {
                Ok(()) => {
                    self.metrics.records_total.with("written").inc();
                    self.waiting.pop_front();
                }
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, waiting = self.waiting.len(), "cannot write records");
                    self.output = Output::Refused(Instant::now() + RETRY);
                }
            }
        }
    }

    /// The last try; what the disk refuses even now goes to the log.
    fn finish(mut self) {
        self.output = match self.output {
            Output::Open(file) => Output::Open(file),
            Output::Closed | Output::Refused(_) => Output::Closed,
        };
        self.drain();
        self.waiting.iter().for_each(|line| lose(&self.metrics, line));
    }
}

/// Opens the file to append. A half line, left by a crash, is ended, so that the next record has its own.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)?;
    let about = file.metadata()?;
    if about.is_file() && about.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Appends a line whole, or leaves the file as it was.
fn append(file: &mut File, line: &str) -> io::Result<()> {
    let end = file.metadata()?.len();
    file.write_all(format!("{line}\n").as_bytes()).inspect_err(|_| {
        // What is no file (a pipe) cannot be cut, and then half a line stays.
        let _ = file.set_len(end);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(Wall(0), &[]))
    }

    /// Waits, without a guess at how long, until the thread has come so far.
    fn until(what: &str, reached: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !reached() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::yield_now();
        }
    }

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_record_is_one_line_of_json() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cdr.jsonl");
        let metrics = metrics();
        let records = Records::start(Some(&path), Arc::clone(&metrics)).unwrap();
        records.write(&json!({"call": "a\nb", "seconds": 3}));
        records.write(&json!({"call": "c"}));
        drop(records);
        assert_eq!(lines(&path), [r#"{"call":"a\nb","seconds":3}"#, r#"{"call":"c"}"#]);
        assert_eq!(metrics.records_total.with("written").get(), 2);
    }

    #[test]
    fn a_path_that_cannot_be_written_is_found_at_start() {
        assert!(Records::start(Some(Path::new("/nonexistent/cdr.jsonl")), metrics()).is_err());
    }

    #[test]
    fn without_a_file_nothing_is_lost() {
        let metrics = metrics();
        Records::start(None, Arc::clone(&metrics)).unwrap().write(&json!({}));
        assert_eq!(metrics.records_total.with("lost").get(), 0);
    }

    #[test]
    fn after_a_rotation_records_go_to_the_new_file() {
        let dir = TempDir::new().unwrap();
        let (path, old) = (dir.path().join("cdr.jsonl"), dir.path().join("cdr.jsonl.1"));
        let records = Records::start(Some(&path), metrics()).unwrap();
        records.write(&1);
        until("the first is written", || lines(&path) == ["1"]);
        fs::rename(&path, &old).unwrap();
        records.reopen();
        records.write(&2);
        drop(records);
        assert_eq!((lines(&old), lines(&path)), (vec!["1".to_owned()], vec!["2".to_owned()]));
    }

    #[test]
    fn a_full_disk_keeps_records_waiting_until_there_is_room() {
        let dir = TempDir::new().unwrap();
        let (path, good) = (dir.path().join("cdr.jsonl"), dir.path().join("good"));
        symlink("/dev/full", &path).unwrap();
        let metrics = metrics();
        let records = Records::start(Some(&path), Arc::clone(&metrics)).unwrap();
        (1..=3).for_each(|number| records.write(&number));
        until("they wait", || metrics.records_waiting.get() == 3);
        fs::remove_file(&path).unwrap();
        symlink(&good, &path).unwrap();
        until("they are written", || metrics.records_waiting.get() == 0);
        assert_eq!(lines(&good), ["1", "2", "3"]);
        assert_eq!(metrics.records_total.with("lost").get(), 0);
    }

    #[test]
    fn what_no_disk_took_before_the_end_is_counted_as_lost() {
        let metrics = metrics();
        let records = Records::start(Some(Path::new("/dev/full")), Arc::clone(&metrics)).unwrap();
        records.write(&1);
        drop(records);
        assert_eq!(metrics.records_total.with("lost").get(), 1);
    }

    #[test]
    fn beyond_what_memory_may_hold_the_oldest_is_lost_and_counted() {
        let metrics = metrics();
        let mut writer = Writer {
            path: "/nonexistent".into(),
            output: Output::Closed,
            waiting: VecDeque::new(),
            metrics: Arc::clone(&metrics),
        };
        for number in 0..limits::RECORDS_QUEUED_MAX + 2 {
            writer.keep(number.to_string());
        }
        assert_eq!(writer.waiting.len(), limits::RECORDS_QUEUED_MAX);
        assert_eq!(writer.waiting.front().map(String::as_str), Some("2"));
        assert_eq!(metrics.records_total.with("lost").get(), 2);
    }

    #[test]
    fn a_half_line_left_by_a_crash_spoils_no_other() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("cdr.jsonl");
        fs::write(&path, "{\"half\":").unwrap();
        let records = Records::start(Some(&path), metrics()).unwrap();
        records.write(&1);
        drop(records);
        assert_eq!(lines(&path), ["{\"half\":", "1"]);
    }
}
