//! The shell lines of the recorded scripts, as calls on the model. The real prober gives them to /bin/sh.

use super::tree::ROOT_ID;
use super::{Model, inside};
use crate::calls::{Calls, Shell};
use crate::error::Errno;

/// Which modules sit on the node manager in the recorded node.
const NODEMANAGER_USERS: &str = "ocfs2_stack_o2cb ocfs2_dlm ocfs2";

/// ENOENT, as for a program that is not there, for a line that no recording has.
pub(super) fn run(model: &mut Model, line: &str) -> Result<Shell, Errno> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["ss", "-ltn", "|", "grep", "-c", port] => count_listeners(model, port),
        ["cd", dir, "&&", "rmdir", _, "&&", "ls;", "echo", "$?"] => list_after_rmdir(model, dir),
        ["setpriv", "--reuid", uid, "--clear-groups", command, path] => as_user(model, uid, command, path),
        ["stat", "-f", "-c", "%T", path] => inside(path).map(|_| printed("configfs")).ok_or(Errno::ENOENT),
        ["mkdir", "-p", new, "&&", "mount", "-t", "configfs", "none", at, "&&", "ls", _, "&&", "umount", _]
            if new == at =>
        {
            Ok(printed(&model.tree.dir(ROOT_ID)?.names().join("\n")))
        }
        ["rmmod", module @ "ocfs2_nodemanager"] => {
            Ok(failed(1, format!("rmmod: ERROR: Module {module} is in use by: {NODEMANAGER_USERS}")))
        }
        _ => Err(Errno::ENOENT),
    }
}

fn printed(output: &str) -> Shell {
    Shell { status: 0, output: output.to_owned() }
}

fn failed(status: i32, output: String) -> Shell {
    Shell { status, output }
}

/// grep -c fails when it counts nothing.
fn count_listeners(model: &Model, port: &str) -> Result<Shell, Errno> {
    let port = port.trim_start_matches(':').parse().map_err(|_| Errno::EINVAL)?;
    let count = model.cluster.listeners(port);
    Ok(Shell { status: i32::from(count == 0), output: count.to_string() })
}

/// The working directory goes; ls in it finds nothing.
fn list_after_rmdir(model: &mut Model, dir: &str) -> Result<Shell, Errno> {
    model.rmdir(dir)?;
    match model.list(dir) {
        Err(errno) => Ok(printed(&format!("ls: cannot open directory '.': {}\n2", describe(errno)))),
        Ok(names) => Ok(printed(&format!("{}\n0", names.join("\n")))),
    }
}

fn as_user(model: &mut Model, uid: &str, command: &str, path: &str) -> Result<Shell, Errno> {
    let root = std::mem::replace(&mut model.uid, uid.parse().map_err(|_| Errno::EINVAL)?);
    let shell = unprivileged(model, command, path);
    model.uid = root;
    shell
}

fn unprivileged(model: &mut Model, command: &str, path: &str) -> Result<Shell, Errno> {
    let done = match command {
        "mkdir" => model.mkdir(path, 0o777).map(|()| String::new()),
        "ls" => model.list(path).map(|names| names.join("\n")),
        "cat" => read_all(model, path),
        _ => return Err(Errno::ENOENT),
    };
    Ok(done.map_or_else(|errno| failed(1, complaint(command, path, errno)), |text| printed(text.trim())))
}

fn read_all(model: &mut Model, path: &str) -> Result<String, Errno> {
    let fd = model.open(path, crate::calls::Access::Read)?;
    let bytes = model.read(fd, usize::MAX);
    model.close(fd)?;
    Ok(String::from_utf8_lossy(&bytes?).into_owned())
}

fn complaint(command: &str, path: &str, errno: Errno) -> String {
    match command {
        "mkdir" => format!("mkdir: cannot create directory \u{2018}{path}\u{2019}: {}", describe(errno)),
        _ => format!("{command}: {path}: {}", describe(errno)),
    }
}

fn describe(errno: Errno) -> &'static str {
    nix::errno::Errno::from_raw(errno.0).desc()
}
