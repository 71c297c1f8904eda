//! Makes the node tree appear: configfs mounted, modules loaded. Nothing that is there is touched.

use super::Error;
use configfs::Kernel;
use configfs::kernel::DEFAULT_ROOT;
use nix::mount::{MsFlags, mount};
use std::path::Path;
use std::process::{Command, Stdio};
use tracing::{info, warn};

/// What stock mount.ocfs2 needs with the o2cb stack.
const MODULES: [&str; 4] = ["configfs", "ocfs2", "ocfs2_stack_o2cb", "ocfs2_dlmfs"];
const CONFIGFS: &str = "/sys/kernel/config";
/// The label that makes the kernel choose the o2cb stack; it is the kernel's own default.
const STACK: &str = "o2cb";
const STACK_FILE: &str = "/sys/fs/ocfs2/cluster_stack";

/// Opens the tree. `may_load`: load what is missing, if this is the kernel's own place and we are root.
pub(super) fn open(root: &Path, may_load: bool) -> Result<Kernel, Error> {
    if may_load && root == Path::new(DEFAULT_ROOT) && nix::unistd::geteuid().is_root() {
        load();
    }
    let kernel = Kernel::open(root).map_err(|source| Error::NotThere { command: command(), source })?;
    check_stack();
    Ok(kernel)
}

fn command() -> String {
    format!("modprobe -a {}; mount -t configfs configfs {CONFIGFS}", MODULES.join(" "))
}

/// What fails here shows when the tree is opened.
fn load() {
    let loaded = |module: &&str| Path::new("/sys/module").join(module).exists();
    let missing: Vec<&str> = MODULES.into_iter().filter(|module| !loaded(module)).collect();
    if !missing.is_empty() {
        modprobe(&missing);
    }
    if matches!(Kernel::open(DEFAULT_ROOT), Err(configfs::Error::NotMounted { .. })) {
        match mount(Some("configfs"), CONFIGFS, Some("configfs"), MsFlags::empty(), None::<&str>) {
            Ok(()) => info!(path = CONFIGFS, "mounted configfs"),
            Err(error) => warn!(path = CONFIGFS, %error, "configfs cannot be mounted"),
        }
    }
}

fn modprobe(modules: &[&str]) {
    let output = Command::new("modprobe").arg("-a").args(modules).stdin(Stdio::null()).output();
    let modules = modules.join(" ");
    match output {
        Ok(output) if output.status.success() => info!(modules, "loaded"),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            warn!(modules, why, "modprobe failed");
        }
        Err(error) => warn!(modules, %error, "modprobe cannot be run"),
    }
}

/// Mounts of the o2cb stack fail while another label stands there. It is not ours to change: another stack may be in use.
fn check_stack() {
    let Ok(label) = std::fs::read_to_string(STACK_FILE) else { return };
    if label.trim_end() != STACK {
        let fix = format!("when nothing is mounted: echo {STACK} > {STACK_FILE}");
        warn!(label = label.trim_end(), fix, "another cluster stack is chosen, mounts with o2cb will fail");
    }
}
