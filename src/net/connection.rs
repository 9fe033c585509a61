//! One connection that carries a stream of SIP messages: cut into messages on the way in, written as they come on the way out, and
//! closed when it takes its time (RFC 3261 §18, RFC 5626 §4.4.1; RELIABILITY A5, A7).
//! Not here: where a message ends (`sip::wire`), and accepting or opening connections (`listen`, `dial`).

use super::streams::{Ended, Passage};
use crate::limits;
use crate::sip::wire::{Framed, Framer};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Who opened a connection: whoever opens one to us has something to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opener {
    Peer,
    Us,
}

/// Runs a connection to its end, and says why that came.
pub(super) async fn run(stream: impl AsyncRead + AsyncWrite, mut passage: Passage, opener: Opener) -> Ended {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut hearing = Hearing::new(opener);
    let ended = loop {
        let deadline = hearing.deadline();
        let step = tokio::select! {
            read = reader.read_buf(&mut hearing.unread) => match read {
                Ok(0) | Err(_) => Err(Ended::Left),
                Ok(_) => hearing.take_messages(&mut writer, &passage).await,
            },
            outgoing = passage.next() => match outgoing {
                Some(bytes) => {
                    hearing.is_welcome |= !is_refusal(&bytes);
                    write(&mut writer, &bytes).await
                }
                None => Err(Ended::Left),
            },
            () = sleep_until(deadline) => Err(hearing.lateness()),
        };
        if let Err(ended) = step {
            break ended;
        }
    };
    let cut_short = ended == Ended::Slow && !hearing.unread.is_empty();
    if cut_short {
        // A message that is shorter than it says is answered too.
        let _heard = passage.hand_in(hearing.unread.split().freeze()).await;
    }
    if cut_short || ended == Ended::Broken {
        say_why(&mut writer, &mut passage).await;
    }
    let _closed = timeout(limits::SIP_CONNECTION_WRITE_MAX, writer.shutdown()).await;
    passage.leave().await;
    ended
}

/// What was read and is no whole message yet, and since when.
struct Hearing {
    unread: BytesMut,
    framer: Framer,
    /// When the first byte of an unfinished message came; at first, when the connection was opened.
    begun: Option<Instant>,
    /// When something whole came last.
    heard: Instant,
    /// Whether we have said anything on it but refusals: a stranger is not waited for as long.
    is_welcome: bool,
}

impl Hearing {
    fn new(opener: Opener) -> Hearing {
        let now = Instant::now();
        let begun = (opener == Opener::Peer).then_some(now);
        Hearing { unread: BytesMut::new(), framer: Framer::default(), begun, heard: now, is_welcome: false }
    }

    fn deadline(&self) -> Instant {
        let idle = if self.is_welcome { limits::SIP_CONNECTION_IDLE_MAX } else { limits::SIP_STRANGER_IDLE_MAX };
        self.begun.map_or(self.heard + idle, |begun| begun + limits::SIP_MESSAGE_WAIT_MAX)
    }

    /// What it means that the deadline has passed.
    fn lateness(&self) -> Ended {
        if self.begun.is_some() { Ended::Slow } else { Ended::Idle }
    }

    /// Hands in all that is whole, and answers the keep-alives between.
    async fn take_messages(&mut self, writer: &mut (impl AsyncWrite + Unpin), passage: &Passage) -> Result<(), Ended> {
        loop {
            let (done, is_message) = match self.framer.next(&self.unread) {
                Framed::Incomplete => break,
                Framed::Message(length) => (length, true),
                Framed::Blank(length) => (length, false),
                Framed::Ping(length) => {
                    write(writer, PONG).await?;
                    (length, false)
                }
                Framed::Broken(length) => {
                    let _heard = passage.hand_in(self.unread.split_to(length).freeze()).await;
                    return Err(Ended::Broken);
                }
            };
            let bytes = self.unread.split_to(done).freeze();
            (self.begun, self.heard) = (None, Instant::now());
            if is_message && !passage.hand_in(bytes).await {
                return Err(Ended::Left);
            }
        }
        if self.unread.is_empty() {
            // Nothing is held for a connection that says nothing.
            self.unread = BytesMut::new();
        } else {
            self.begun.get_or_insert_with(Instant::now);
        }
        Ok(())
    }
}

/// What answers a double CRLF.
const PONG: &[u8] = b"\r\n";

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Ended> {
    match timeout(limits::SIP_CONNECTION_WRITE_MAX, writer.write_all(bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Ended::Left),
        Err(_) => Err(Ended::Slow),
    }
}

/// The answer to what could not be read, if there is one, before the connection is closed.
async fn say_why(writer: &mut (impl AsyncWrite + Unpin), passage: &mut Passage) {
    let until = Instant::now() + limits::SIP_FAREWELL_MAX;
    while let Ok(Some(bytes)) = timeout_at(until, passage.next()).await {
        let is_last = is_refusal(&bytes);
        if write(writer, &bytes).await.is_err() || is_last {
            return;
        }
    }
}

/// Whether it is a response of 300 or more.
fn is_refusal(bytes: &Bytes) -> bool {
    let status = bytes.strip_prefix(b"SIP/2.0 ").and_then(|rest| rest.first());
    status.is_some_and(|class| matches!(class, b'3'..=b'6'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::streams::{Door, Link, StreamEvent};
    use crate::sip::{Path, Transport};
    use tokio::io::DuplexStream;
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;

    const MESSAGE: &[u8] = b"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 2\r\n\r\nhi";

    /// A connection that is being carried, its peer, and the switch thread's end.
    struct Line {
        peer: DuplexStream,
        events: mpsc::Receiver<StreamEvent>,
        link: Link,
        ended: JoinHandle<Ended>,
    }

    async fn line(opener: Opener) -> Line {
        let (peer, ours) = tokio::io::duplex(1 << 20);
        let (door, events) = Door::open();
        let address = "127.0.0.1:5060".parse().unwrap();
        let (link, passage) = door.passage(Path { transport: Transport::Tcp, local: address, peer: address });
        Line { peer, events, link, ended: tokio::spawn(run(ours, passage, opener)) }
    }

    impl Line {
        async fn message(&mut self) -> Bytes {
            match self.events.recv().await.unwrap() {
                StreamEvent::Message { bytes, .. } => bytes,
                StreamEvent::Opened { .. } | StreamEvent::Closed { .. } => panic!("no message"),
            }
        }

        async fn heard(&mut self, length: usize) -> Vec<u8> {
            let mut heard = vec![0; length];
            self.peer.read_exact(&mut heard).await.unwrap();
            heard
        }

        /// How it ends, after how many seconds.
        async fn end(mut self) -> (Ended, u64) {
            let begun = Instant::now();
            let ended = self.ended.await.unwrap();
            let seconds = begun.elapsed().as_secs();
            assert!(matches!(self.events.recv().await, Some(StreamEvent::Closed { .. })));
            drop(self.peer);
            (ended, seconds)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_come_whole_and_keep_alives_are_answered() {
        let mut line = line(Opener::Peer).await;
        for piece in [&b"\r\n"[..], &MESSAGE[..10], &MESSAGE[10..], MESSAGE, b"\r\n\r\n"] {
            line.peer.write_all(piece).await.unwrap();
        }
        assert_eq!((line.message().await, line.message().await), (Bytes::from(MESSAGE), Bytes::from(MESSAGE)));
        assert_eq!(line.heard(2).await, b"\r\n");
        line.link.send_for_test(b"SIP/2.0 200 OK\r\n\r\n");
        assert_eq!(line.heard(18).await, b"SIP/2.0 200 OK\r\n\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_his_time_is_left() {
        let silent = line(Opener::Peer).await;
        assert_eq!(silent.end().await, (Ended::Slow, 5));

        let mut dribbles = line(Opener::Peer).await;
        let mut ended = Ok(());
        let begun = Instant::now();
        for byte in MESSAGE {
            ended = ended.and(dribbles.peer.write_all(&[*byte]).await);
            tokio::time::sleep(std::time::Duration::from_millis(900)).await;
        }
        assert!(ended.is_err() && begun.elapsed().as_secs() > 5);
        assert_eq!(dribbles.message().await, MESSAGE[..6], "for an answer, if one can be given");
        assert_eq!(dribbles.ended.await.unwrap(), Ended::Slow);

        let mut stranger = line(Opener::Peer).await;
        stranger.peer.write_all(MESSAGE).await.unwrap();
        stranger.message().await;
        stranger.link.send_for_test(b"SIP/2.0 403 Forbidden\r\n\r\n");
        assert_eq!(stranger.end().await, (Ended::Idle, 30));

        let mut known = line(Opener::Peer).await;
        known.peer.write_all(MESSAGE).await.unwrap();
        known.message().await;
        known.link.send_for_test(b"SIP/2.0 180 Ringing\r\n\r\n");
        assert_eq!(known.end().await, (Ended::Idle, 900));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_framed_is_answered_and_then_it_is_over() {
        let mut line = line(Opener::Us).await;
        line.peer.write_all(b"MESSAGE sip:a@b SIP/2.0\r\nl: -1\r\n\r\nMESSAGE").await.unwrap();
        assert_eq!(line.message().await, &b"MESSAGE sip:a@b SIP/2.0\r\nl: -1\r\n\r\n"[..]);
        line.link.send_for_test(b"SIP/2.0 400 Bad Request\r\n\r\n");
        assert_eq!(line.heard(27).await, b"SIP/2.0 400 Bad Request\r\n\r\n");
        assert_eq!(line.end().await, (Ended::Broken, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_either_end_wants() {
        let left = line(Opener::Us).await;
        let Line { peer, mut events, ended, .. } = left;
        drop(peer);
        assert_eq!(ended.await.unwrap(), Ended::Left);
        assert!(matches!(events.recv().await, Some(StreamEvent::Closed { .. })));

        let Line { mut peer, link, ended, .. } = line(Opener::Us).await;
        link.send_for_test(b"the last word");
        drop(link);
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        assert_eq!((heard, ended.await.unwrap()), (b"the last word".to_vec(), Ended::Left));
    }
}
