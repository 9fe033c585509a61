//! How a test wants its daemon: the configuration file that it starts with, and what is said differently on its command line.
//! Not here: the process (`daemon`).

use std::path::Path;

/// The secret that signs the clients' JWTs in all tests.
pub(crate) const SECRET: &str = "a secret of the tests, long enough for HS256";
/// The key's name.
pub(crate) const KID: &str = "tests";

/// A daemon on loopback, every port 0, everybody on loopback a trunk, every number the name `demo`; then as the test says.
/// It logs all that can be logged, because the log is searched for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// `--set KEY=VALUE`.
    pub(crate) set: Vec<String>,
    /// The `[[trunk]]` and `[[route]]` part of the file.
    pub(crate) tables: String,
    /// For the process.
    pub(crate) environment: Vec<(String, String)>,
    /// What the program is started by: `ip netns exec NAME`.
    pub(crate) by: Vec<String>,
}

impl Default for Setup {
    fn default() -> Setup {
        let tables =
            "[[trunk]]\nname = \"gateway\"\nallow = [\"127.0.0.0/8\"]\n\n[[route]]\nnumber = \"*\"\nname = \"demo\"\n";
        Setup { set: Vec::new(), tables: tables.into(), environment: Vec::new(), by: Vec::new() }
    }
}

impl Setup {
    /// The usual daemon, with these keys otherwise.
    pub(crate) fn with(set: &[&str]) -> Setup {
        Setup { set: set.iter().map(|text| (*text).to_owned()).collect(), ..Setup::default() }
    }

    /// The configuration file's text; everything that the daemon writes goes into `dir`.
    pub(crate) fn file(&self, dir: &Path) -> String {
        let dir = dir.display();
        format!(
            "[node]\nstate_dir = \"{dir}\"\n\n\
             [sip]\nlisten = [\"127.0.0.1:0\"]\n\n\
             [http]\nlisten = \"127.0.0.1:0\"\n\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\n\
             [media]\nworkers = 1\n\n\
             [log]\nlevel = \"trace\"\n\n\
             [records]\npath = \"{dir}/cdr.jsonl\"\n\n\
             [[policy.key]]\nkid = \"{KID}\"\ntype = \"hs256\"\nsecret_file = \"{dir}/clients.secret\"\n\n\
             {}",
            self.tables
        )
    }
}
