//! The fence program: run for a dead node, status 0 opens its gate.
//!
//! The node's name and corosync's node id are its arguments, and `O2CPG_NODE`, `O2CPG_NODEID` in its environment. It is
//! ended at its deadline. What it prints goes to our log's place.

use agent_core::ids::NodeId;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Runs it to its end. The error says how it failed.
pub(crate) async fn run(program: &str, node: NodeId, name: &str, within: Duration) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg(name).arg(node.0.to_string());
    command.env("O2CPG_NODE", name).env("O2CPG_NODEID", node.0.to_string());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("starting {program}: {error}"))?;
    match timeout(within, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program}: {status}")),
        Ok(Err(error)) => Err(format!("waiting for {program}: {error}")),
        Err(_) => Err(format!("{program} did not end within {} s", within.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(program: &str, within: Duration) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(program, NodeId(3), "node3", within))
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
        let program = dir.path().join("fence");
        std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(ran(program.to_str().unwrap(), Duration::from_millis(50)).unwrap_err().contains("did not end"));
    }
}
