//! Fax machines that are none of ours (`machine.c`): made with the system's compiler and spandsp, and spoken to by their standard streams.
//! Not here: the call (`fax`).

use crate::common::until;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A fax of one page takes some five seconds.
const FAX_MAX: Duration = Duration::from_secs(60);

/// The program.
pub(crate) struct Maker {
    program: PathBuf,
}

/// One machine, until its fax is over.
pub(crate) struct Foreign {
    child: Child,
    said: BufReader<ChildStdout>,
    /// Its UDPTL port.
    pub(crate) port: u16,
}

impl Maker {
    /// `None`, and says so, where there is no compiler or no library.
    pub(crate) fn make(directory: &Path) -> Option<Maker> {
        let (source, program) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fax/machine.c"), directory.join("machine"));
        let made =
            Command::new("cc").args(["-O1", "-o"]).args([&program, &source]).args(["-lspandsp", "-ltiff"]).output();
        match made {
            Ok(output) if output.status.success() => Some(Maker { program }),
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr);
                assert!(reason.contains("No such file") || reason.contains("cannot find"), "{reason}");
                eprintln!("SKIPPED: no fax machine: {} (the Debian package libspandsp-dev)", reason.trim());
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: cc: {error} (the Debian package build-essential)");
                None
            }
        }
    }

    /// A page in a file.
    pub(crate) fn draw(&self, page: &Path) {
        assert!(self.command(&["draw"], &[page]).status().unwrap().success());
    }

    /// Whether both files have one page, and the same one.
    pub(crate) fn is_same(&self, one: &Path, other: &Path) -> bool {
        self.command(&["same"], &[one, other]).status().unwrap().success()
    }

    /// A machine that is going to send that page, or to receive one into that file.
    pub(crate) fn start(&self, verb: &str, page: &Path) -> Foreign {
        let mut child = self.command(&[verb], &[page]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").unwrap().parse().unwrap();
        Foreign { child, said, port }
    }

    fn command(&self, verb: &[&str], files: &[&Path]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(verb).args(files);
        command
    }
}

impl Foreign {
    /// Lets it begin: it sends to that port.
    pub(crate) fn begin(&mut self, remote: u16) {
        writeln!(self.child.stdin.as_mut().unwrap(), "remote {remote}").unwrap();
    }

    /// What it says at its end, which has to be a good one.
    pub(crate) fn end(mut self) -> String {
        let status = until("the end of the fax", FAX_MAX, || self.child.try_wait().unwrap());
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        assert!(status.success(), "{said}");
        said
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // Whoever has ended is not there any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
