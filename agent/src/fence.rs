//! The fence program: run for a dead node, status 0 opens its gate.
//!
//! The node's name and corosync's node id are its arguments, and `O2CPG_NODE`, `O2CPG_NODEID` in its environment. It is
//! ended at its deadline, and with it what it has started: a fence agent that gets through later would hit a node that is
//! back. What it prints goes to our log's place.

use agent_core::ids::NodeId;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tracing::warn;

/// What the service manager has told us, and nobody else.
const OURS: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// Runs it to its end. The error says how it failed.
pub(crate) async fn run(program: &str, node: NodeId, name: &str, within: Duration) -> Result<(), String> {
    let mut child = start(program, node, name).map_err(|error| format!("starting {program}: {error}"))?;
    match timeout(within, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program}: {status}")),
        Ok(Err(error)) => Err(format!("waiting for {program}: {error}")),
        Err(_) => {
            end_all(&mut child);
            Err(format!("{program} did not end within {} s", within.as_secs()))
        }
    }
}

fn start(program: &str, node: NodeId, name: &str) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg(name).arg(node.0.to_string());
    command.env("O2CPG_NODE", name).env("O2CPG_NODEID", node.0.to_string());
    OURS.iter().for_each(|name| _ = command.env_remove(name));
    command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    command.spawn()
}

/// The program leads a process group.
fn end_all(child: &mut Child) {
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    if let Some(Err(error)) = group.map(|group| killpg(group, Signal::SIGKILL)) {
        warn!(%error, "the fence program cannot be ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::path::Path;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn ran(program: &str, within: Duration) -> Result<(), String> {
        runtime().block_on(run(program, NodeId(3), "node3", within))
    }

    fn script(dir: &Path, text: &str) -> String {
        let program = dir.join("fence");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        program.display().to_string()
    }

    #[test]
    fn only_status_0_opens_the_gate() {
        assert_eq!(ran("/bin/true", Duration::from_secs(10)), Ok(()));
        assert!(ran("/bin/false", Duration::from_secs(10)).unwrap_err().contains("exit status: 1"));
        assert!(ran("/nonexistent/fence", Duration::from_secs(10)).unwrap_err().starts_with("starting /nonexistent"));
    }

    #[test]
    fn a_program_without_an_end_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let program = script(dir.path(), "#!/bin/sh\nexec sleep 600\n");
        assert!(ran(&program, Duration::from_millis(50)).unwrap_err().contains("did not end"));
    }

    /// The write end of the pipe is held by what the program started as well, and is closed with the last of them.
    #[test]
    fn and_so_is_what_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let program = script(dir.path(), &format!("#!/bin/sh\nexec > {}\nsleep 600 &\nwait\n", pipe.display()));
        runtime().block_on(async {
            let mut child = start(&program, NodeId(3), "node3").unwrap();
            let mut reader = File::open(&pipe).unwrap();
            end_all(&mut child);
            assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
        });
    }
}
