//! What the service manager is told (sd_notify(3)): that we are ready, that we stop, that we are alive, and one line of status.
//! Not here: deciding when. Without `NOTIFY_SOCKET` (no service manager) all of it does nothing.

use crate::time::Duration;
use sd_notify::NotifyState;

/// Tells systemd. A failure is logged and nothing more: a service manager that does not listen is no reason to drop calls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Service;

impl Service {
    /// `READY=1`: sockets are bound and keys are loaded.
    pub(super) fn ready(self, status: &str) {
        notify(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// `STOPPING=1` at the beginning of a drain, which may take so long.
    pub(super) fn stopping(self, drain: Duration, status: &str) {
        let micros = u32::try_from((drain + STOP_SPARE).as_micros()).unwrap_or(u32::MAX);
        notify(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros),
            NotifyState::Status(&one_line(status)),
        ]);
    }

    /// One line for `systemctl status`: `1204 calls, 37 parked`.
    pub(super) fn status(self, status: &str) {
        notify(&[NotifyState::Status(&one_line(status))]);
    }

    /// `WATCHDOG=1`: the switch and every relay worker answered.
    pub(super) fn alive(self) {
        notify(&[NotifyState::Watchdog]);
    }

    /// How often [`alive`](Service::alive) is to be said: half of what systemd waits; `None` if it does not watch us.
    pub(super) fn watchdog_every(self) -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|limit| limit / 2)
    }
}

/// What a stop takes beyond the drain: BYEs, their answers, the last records.
const STOP_SPARE: Duration = Duration::from_secs(10);

/// A line's end would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;
    use tempfile::TempDir;

    /// What the child below says. A process's environment cannot be changed safely while it runs, so each test of it is a child:
    /// this test binary once more, with the one test that talks.
    #[test]
    fn child() {
        if std::env::var_os("PARKWAY_TEST_SERVICE").is_none() {
            return;
        }
        let service = Service;
        println!("watchdog {:?}", service.watchdog_every());
        service.ready("0 calls");
        service.alive();
        service.status("3 calls\nREADY=0");
        service.stopping(Duration::from_secs(30), "draining");
    }

    fn child_process() -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "daemon::service::tests::child", "--nocapture"]).env("PARKWAY_TEST_SERVICE", "1");
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(variable);
        }
        command
    }

    #[test]
    fn systemd_hears_each_state_in_its_own_datagram() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let output = child_process().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "5000000").output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("watchdog Some(2.5s)"));
        systemd.set_nonblocking(true).unwrap();
        let mut buffer = [0; 1024];
        let mut heard = std::iter::from_fn(|| match systemd.recv(&mut buffer) {
            Ok(length) => Some(String::from_utf8(buffer[..length].to_vec()).unwrap()),
            Err(error) => (error.kind() != ErrorKind::WouldBlock).then(|| panic!("{error}")),
        });
        assert_eq!(heard.next().unwrap(), "READY=1\nSTATUS=0 calls\n");
        assert_eq!(heard.next().unwrap(), "WATCHDOG=1\n");
        assert_eq!(heard.next().unwrap(), "STATUS=3 calls READY=0\n", "a status is one line");
        assert_eq!(heard.next().unwrap(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\nSTATUS=draining\n");
        assert_eq!(heard.next(), None);
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        let output = child_process().output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("watchdog None"));
    }
}
