//! The control device of the user stack, /dev/ocfs2_control: it tells the kernel which node is dead.
//!
//! ```text
//! read  "T01\n"                            the protocol, before anything is written
//! write "T01\n"                             4 bytes
//! write "SETN 00000001\n"                  14 bytes, this node's number
//! write "SETV 01 00\n"                     11 bytes, the locking protocol, major and minor
//! write "DOWN <32 hex digits> 00000003\n"  47 bytes, at any time after that
//! ```
//!
//! One write(2) is one message, and all digits are hexadecimal. The last close of the device while such a volume is mounted
//! makes the kernel reset the node, so the device is never closed here: it ends with the process, and the service manager keeps
//! a copy over a restart (sd_notify(3), FDSTORE). After a restart it is opened anew beside that copy, which stays open in
//! this process without being used. A daemon that ends because nothing needs it takes the copy back.
//!
//! Source: linux fs/ocfs2/stack_user.c.

use super::dlmc;
use agent_core::event::{ControlOp, KernelRefusal};
use configfs::Errno;
use sd_notify::NotifyState;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use tracing::{debug, info};

/// Where the kernel's misc device appears; udev's rules of ocfs2-tools make the first one.
const PATHS: [&str; 2] = ["/dev/misc/ocfs2_control", "/dev/ocfs2_control"];
/// The one protocol there is.
const PROTOCOL: &[u8; 4] = b"T01\n";
/// Name of the copy that the service manager keeps.
pub(crate) const FD_NAME: &str = "ocfs2-control";

/// The device, once it is open.
#[derive(Default)]
pub(super) struct Control {
    device: Option<File>,
}

impl Control {
    /// The handshake is done.
    pub(super) fn is_open(&self) -> bool {
        self.device.is_some()
    }

    /// Does these in order, up to the first refusal.
    pub(super) fn perform(&mut self, ops: &[ControlOp]) -> Result<(), KernelRefusal> {
        ops.iter().try_for_each(|op| match op {
            ControlOp::Register { volume } => dlmc::register(*volume),
            ControlOp::Notified { volume, node } => dlmc::notified(*volume, *node),
            ControlOp::Unregister { volume } => dlmc::unregister(*volume),
            ControlOp::Handshake { .. } if self.is_open() => Ok(()),
            ControlOp::Handshake { node, locking } => {
                let path = PATHS.map(PathBuf::from).into_iter().find(|path| path.exists());
                let path = path.unwrap_or_else(|| PATHS[1].into());
                self.device = Some(
                    handshake(&path, *node, *locking).map_err(|error| refused(&path, "shake hands with", &error))?,
                );
                Ok(())
            }
            ControlOp::Down { volume, node } => {
                let told = self.write(down(&volume.to_string(), *node).as_bytes());
                told.map_err(|error| refused(Path::new(PATHS[1]), &format!("tell that node {node} is down to"), &error))
            }
        })
    }

    fn write(&mut self, message: &[u8]) -> io::Result<()> {
        let device = self.device.as_mut().ok_or_else(|| io::Error::from_raw_os_error(Errno::ENODEV.0))?;
        write_once(device, message)
    }
}

fn handshake(path: &Path, node: u32, (major, minor): (u8, u8)) -> io::Result<File> {
    let mut device = OpenOptions::new().read(true).write(true).open(path)?;
    let mut protocol = [0; PROTOCOL.len()];
    device.read_exact(&mut protocol)?;
    if &protocol != PROTOCOL {
        let found = String::from_utf8_lossy(&protocol).into_owned();
        return Err(io::Error::other(format!("the kernel speaks {found:?}, not T01")));
    }
    write_once(&mut device, PROTOCOL)?;
    write_once(&mut device, format!("SETN {node:08X}\n").as_bytes())?;
    write_once(&mut device, format!("SETV {major:02X} {minor:02X}\n").as_bytes())?;
    info!(path = %path.display(), node, major, minor, "control device open");
    keep_a_copy(&device);
    Ok(device)
}

/// Without a service manager there is nobody to keep it; a crash then costs what it costs the historic daemon.
fn keep_a_copy(device: &File) {
    if is_kept() {
        return;
    }
    let states = [NotifyState::FdStore, NotifyState::FdName(FD_NAME)];
    if let Err(error) = sd_notify::notify_with_fds(false, &states, &[device.as_fd()]) {
        debug!(%error, "nobody keeps a copy of the control device");
    }
}

/// A daemon before us has left a copy; its place in the store is bounded.
fn is_kept() -> bool {
    std::env::var("LISTEN_FDNAMES").is_ok_and(|names| names.split(':').any(|name| name == FD_NAME))
}

fn down(volume: &str, node: u32) -> String {
    format!("DOWN {volume} {node:08X}\n")
}

/// A message in two writes would be two messages.
fn write_once(device: &mut File, message: &[u8]) -> io::Result<()> {
    let taken = device.write(message)?;
    if taken == message.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(Errno::EIO.0)) }
}

fn refused(path: &Path, what: &str, error: &io::Error) -> KernelRefusal {
    let errno = error.raw_os_error().unwrap_or(0);
    let what =
        if errno == 0 { format!("{what} the control device ({error})") } else { format!("{what} the control device") };
    KernelRefusal { errno, path: path.display().to_string(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_lengths_that_the_kernel_takes() {
        assert_eq!(down("A0000000000000000000000000000000", 3).len(), 47);
        assert_eq!(down("A0000000000000000000000000000000", 3), "DOWN A0000000000000000000000000000000 00000003\n");
    }

    #[test]
    fn without_a_device_the_refusal_says_which_and_why() {
        let mut control = Control::default();
        let down = ControlOp::Down { volume: proto::peer::VolumeId([0xa0; 16]), node: 3 };
        let refusal = control.perform(&[down]).unwrap_err();
        assert_eq!((refusal.errno, refusal.path.as_str()), (19, "/dev/ocfs2_control"));
    }
}
