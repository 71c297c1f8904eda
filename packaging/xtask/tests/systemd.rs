//! What systemd itself says about our unit.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNIT: &str = "packaging/systemd/o2cpgd.service";
/// Programs that the unit runs, and which need not be installed where it is tested.
const PROGRAMS: [&str; 2] = ["o2cpgd", "o2cpg"];
/// Lines for systemd from 254 on.
const SINCE_254: [&str; 1] = ["FileDescriptorStorePreserve"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The unit with stand-ins for its programs.
fn unit_in(dir: &Path) -> PathBuf {
    for name in PROGRAMS {
        fs::write(dir.join(name), "").unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let text = fs::read_to_string(project().join(UNIT)).unwrap();
    let path = dir.join("o2cpgd.service");
    fs::write(&path, text.replace("/usr/sbin/", &format!("{}/", dir.display()))).unwrap();
    path
}

/// systemd passes over a line that it is too old for.
fn is_of_newer(line: &str) -> bool {
    line.contains("Unknown key") && SINCE_254.iter().any(|key| line.contains(key))
}

fn analyze(words: &[&str], unit: &Path) -> Output {
    let output = Command::new("systemd-analyze").args(words).arg(unit).env("LC_ALL", "C").output();
    output.expect("systemd-analyze can be run")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let output = analyze(&["verify", "--man=no"], &unit_in(dir.path()));
    let said = said(&output);
    let wrong: Vec<&str> = said.lines().filter(|line| line.contains("o2cpgd.service") && !is_of_newer(line)).collect();
    assert!(output.status.success() && wrong.is_empty(), "{said}");
}

#[test]
fn a_line_that_systemd_does_not_know_would_be_found() {
    let dir = tempfile::tempdir().unwrap();
    let unit = unit_in(dir.path());
    let text = fs::read_to_string(&unit).unwrap().replace("WatchdogSec=", "WatchDogSec=");
    fs::write(&unit, text).unwrap();
    assert!(said(&analyze(&["verify", "--man=no"], &unit)).contains("WatchDogSec"));
}

#[test]
fn the_sandbox_is_as_tight_as_the_manual_says() {
    let manual = fs::read_to_string(project().join("docs/OPERATIONS.md")).unwrap();
    let (_, figure) = manual.split_once("systemd-analyze security` says ").expect("the manual gives the figure");
    let figure: f64 = figure.split(' ').next().unwrap().parse().expect("a figure such as 6.1");
    let threshold = format!("--threshold={:.0}", figure * 10.0);
    let dir = tempfile::tempdir().unwrap();
    let output = analyze(&["security", "--offline=yes", "--no-pager", &threshold], &unit_in(dir.path()));
    assert!(output.status.success(), "{}", said(&output));
}

/// It would hold volumes that the host has unmounted.
#[test]
fn no_line_gives_the_daemon_a_mount_namespace() {
    const MAKE_ONE: [&str; 24] = [
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "ExecPaths",
        "ExtensionImages",
        "InaccessiblePaths",
        "MountAPIVFS",
        "MountFlags",
        "MountImages",
        "NoExecPaths",
        "PrivateDevices",
        "PrivateIPC",
        "PrivateMounts",
        "PrivateTmp",
        "ProcSubset",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
    ];
    let text = fs::read_to_string(project().join(UNIT)).unwrap();
    let keys = text.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key);
    let found: Vec<&str> = keys.filter(|key| MAKE_ONE.contains(key)).collect();
    assert!(found.is_empty(), "{found:?}");
}
