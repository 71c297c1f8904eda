//! What this machine can do: some suites need root and namespaces, or a kernel in user mode.

use crate::{Error, lab};

/// What a suite needs beside a compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    Nothing,
    /// Root and every kind of namespace: nodes with corosync on the host's kernel.
    Namespaces,
    /// Root and User Mode Linux: nodes with a kernel of their own.
    Kernel,
}

/// What is lacking, as one line; `None` when the need is met. The lab tries it out rather than guess.
pub(crate) fn lack(need: Need) -> Result<Option<String>, Error> {
    let kind = match need {
        Need::Nothing => return Ok(None),
        Need::Namespaces => "ns",
        Need::Kernel => "uml",
    };
    let output = lab::script("lab")
        .args(["check", kind])
        .output()
        .map_err(|source| Error::Start { program: "tests/lab/lab".into(), source })?;
    if output.status.success() {
        return Ok(None);
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).lines().map(str::trim).collect::<Vec<_>>().join("; ");
    Ok(Some(if said.is_empty() { format!("lab check {kind}: {}", output.status) } else { said }))
}
