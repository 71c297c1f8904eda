//! Makes the node tree appear: configfs mounted, modules loaded. Nothing that is there is touched.

use super::Error;
use crate::stack::change::{self, Modprobe, Modules};
use configfs::Kernel;
use configfs::kernel::DEFAULT_ROOT;
use nix::mount::{MsFlags, mount};
use std::path::Path;
use tracing::{info, warn};

/// What stock mount.ocfs2 needs with the o2cb stack.
const MODULES: [&str; 4] = ["configfs", "ocfs2", "ocfs2_stack_o2cb", "ocfs2_dlmfs"];
const CONFIGFS: &str = "/sys/kernel/config";
/// The label that makes the kernel choose the o2cb stack; it is the kernel's own default.
const STACK: &str = "o2cb";
const STACK_FILE: &str = "/sys/fs/ocfs2/cluster_stack";

/// Opens the tree. `may_load`: load what is missing, if this is the kernel's own place and we are root.
pub(super) fn open(root: &Path, may_load: bool) -> Result<Kernel, Error> {
    let is_ours = root == Path::new(DEFAULT_ROOT) && nix::unistd::geteuid().is_root();
    let loaded = if may_load && is_ours { load() } else { Vec::new() };
    let kernel = Kernel::open(root).map_err(|source| Error::NotThere { command: command(), source })?;
    if is_ours {
        put_on_record(&loaded);
    }
    check_stack();
    Ok(kernel)
}

/// `o2cpg stack offline` takes out again what came into the kernel.
fn put_on_record(loaded: &[&str]) {
    if let Err(error) = change::started(Path::new("/"), loaded) {
        warn!(%error, "it is not on record what was started");
    }
}

fn command() -> String {
    format!("modprobe -a {}; mount -t configfs configfs {CONFIGFS}", MODULES.join(" "))
}

/// What came into the kernel. What fails here shows when the tree is opened.
fn load() -> Vec<&'static str> {
    let missing: Vec<&str> = MODULES.into_iter().filter(|module| !is_loaded(module)).collect();
    if !missing.is_empty() {
        modprobe(&missing);
    }
    if matches!(Kernel::open(DEFAULT_ROOT), Err(configfs::Error::NotMounted { .. })) {
        match mount(Some("configfs"), CONFIGFS, Some("configfs"), MsFlags::empty(), None::<&str>) {
            Ok(()) => info!(path = CONFIGFS, "mounted configfs"),
            Err(error) => warn!(path = CONFIGFS, %error, "configfs cannot be mounted"),
        }
    }
    missing.into_iter().filter(|module| is_loaded(module)).collect()
}

fn is_loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

fn modprobe(modules: &[&str]) {
    let loaded = Modprobe.load(modules);
    let modules = modules.join(" ");
    match loaded {
        Ok(()) => info!(modules, "loaded"),
        Err(why) => warn!(modules, why, "modprobe failed"),
    }
}

/// With another label there only that stack's volumes can be mounted. It is not ours to change: it may be what is wanted.
fn check_stack() {
    let Ok(label) = std::fs::read_to_string(STACK_FILE) else { return };
    if label.trim_end() != STACK {
        let fix = format!("for o2cb, when nothing is mounted: o2cpg stack set {STACK}");
        info!(label = label.trim_end(), fix, "a user stack is chosen: volumes of o2cb cannot be mounted");
    }
}
