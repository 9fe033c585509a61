//! Asks the daemon whether it is ready, as a load balancer would: `GET /readyz` (HTTP/1.1, RFC 9112) until 200.
//! Not here: a general HTTP client; the demo asks this one question.

use super::Failure;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep, timeout};

/// How long a daemon that was just started may take.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Returns when the daemon says that it takes calls.
pub(super) async fn ready(admin: SocketAddr) -> Result<(), Failure> {
    let until = Instant::now() + READY_WITHIN;
    loop {
        let last = match timeout(ANSWER_WITHIN, ask(admin)).await {
            Ok(Ok(line)) if line.starts_with("HTTP/1.1 200") => return Ok(()),
            Ok(Ok(line)) => line,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() >= until {
            let what = format!("not ready within {} s (GET /readyz: {last})", READY_WITHIN.as_secs());
            return Err(Failure { who: "parkway", what });
        }
        sleep(PAUSE).await;
    }
}

/// The status line.
async fn ask(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 256];
    let length = stream.read(&mut head).await?;
    let text = String::from_utf8_lossy(head.get(..length).unwrap_or_default());
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
