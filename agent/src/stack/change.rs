//! Chooses the stack of the next mount, and takes back what was started. Nothing live is ever touched.

use super::record::{self, Record};
use super::{LABEL_FILE, Label, Live, Presence, look, parts};
use crate::run_dir::StateFile;
use configfs::{Backend, Entry, Op};
use nix::errno::Errno;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Not ours to unload: other programs use them too.
const SHARED: [&str; 2] = ["configfs", "dlm"];

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something uses the stack.
    #[error("the cluster stack cannot be changed now: {} in use", plural(live.len()))]
    Live {
        /// What.
        live: Vec<Live>,
    },
    /// The kernel has no ocfs2.
    #[error("there is no {path}, so the kernel has no ocfs2{}", if *may_load { "" } else { ", and modprobe = false" })]
    NoOcfs2 {
        /// What is missing.
        path: PathBuf,
        /// Whether modules may be loaded.
        may_load: bool,
        /// What modprobe said, if it was asked.
        why: String,
    },
    /// The kernel has no such plugin.
    #[error("this kernel has no {0}, which serves this stack")]
    NoPlugin(&'static str),
    /// The plugin is there, and modprobe did not load it.
    #[error("{module}, which serves this stack, could not be loaded: {why}")]
    NotLoaded {
        /// The plugin.
        module: &'static str,
        /// What modprobe said.
        why: String,
    },
    /// A file of the kernel or of ours.
    #[error("{what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It said yes and did something else.
    #[error("{path} says {found:?} after {wanted:?} was stored")]
    NotTaken {
        /// Which file.
        path: PathBuf,
        /// What was stored.
        wanted: &'static str,
        /// What is there.
        found: String,
    },
    /// The node tree. What was removed before stays removed.
    #[error("taking the node tree down")]
    Tree(#[from] configfs::Error),
}

impl Error {
    /// What the errno means here, and what to do.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Error::Live { .. } => "umount what is mounted; a region or lockspace that stays belongs to another mount \
                                   namespace or to ocfs2_hb_ctl: ocfs2_hb_ctl -I -u UUID; dlm_tool ls"
                .into(),
            Error::NoOcfs2 { may_load: false, .. } => "modprobe ocfs2, or modprobe = true in o2cpg.toml".into(),
            Error::NoOcfs2 { .. } | Error::NoPlugin(_) => {
                "install the kernel's module: on Debian it is in linux-image, elsewhere in kernel-modules-extra".into()
            }
            Error::NotLoaded { .. } => {
                "modprobe it by hand to see why: blacklisted, not signed, of another kernel; see dmesg".into()
            }
            Error::Io { source, .. } => match source.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EBUSY) => "EBUSY: a volume is mounted, or is just being mounted, perhaps in another mount \
                                       namespace: grep ocfs2 /proc/*/mountinfo"
                    .into(),
                Some(Errno::EINVAL) => "EINVAL: the kernel takes exactly four characters".into(),
                Some(Errno::EACCES | Errno::EPERM | Errno::EROFS) => "run it as root, outside of containers".into(),
                _ => "see dmesg".into(),
            },
            Error::NotTaken { .. } => "somebody else changes it at the same time; try again".into(),
            Error::Tree(_) => "o2cpg plan --local shows what is there".into(),
        }
    }

    /// Whether it was refused because of what is in use, rather than failed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let busy = |source: &io::Error| source.raw_os_error() == Some(Errno::EBUSY as i32);
        matches!(self, Error::Live { .. }) || matches!(self, Error::Io { source, .. } if busy(source))
    }
}

fn plural(n: usize) -> String {
    if n == 1 { "1 thing is".into() } else { format!("{n} things are") }
}

/// Puts modules into the kernel and takes them out.
pub trait Modules {
    /// Loads them all, with what they need. The error is for people.
    ///
    /// # Errors
    /// What modprobe said.
    fn load(&mut self, modules: &[&str]) -> Result<(), String>;
    /// Takes one out, with what only it needed.
    ///
    /// # Errors
    /// What modprobe said.
    fn unload(&mut self, module: &str) -> Result<(), String>;
}

/// modprobe(8).
#[derive(Clone, Copy, Debug)]
pub struct Modprobe;

impl Modules for Modprobe {
    fn load(&mut self, modules: &[&str]) -> Result<(), String> {
        modprobe("-a", modules)
    }

    fn unload(&mut self, module: &str) -> Result<(), String> {
        modprobe("-r", &[module])
    }
}

fn modprobe(option: &str, modules: &[&str]) -> Result<(), String> {
    let output = Command::new("modprobe").arg(option).args(modules).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")),
        Err(error) => Err(format!("modprobe cannot be run: {error}")),
    }
}

/// What `set` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// The label of the next mount.
    pub label: &'static str,
    /// The one before; `None` if ocfs2 was not loaded.
    pub before: Option<String>,
    /// Modules that were loaded for it.
    pub loaded: Vec<String>,
    /// What is built into this kernel.
    pub built_in: Vec<&'static str>,
    /// What could not be loaded or was not to be, with the reason.
    pub not_loaded: Vec<String>,
}

/// Has the next mount take `label`. `pins` is what o2cpgd adds to what is live.
///
/// # Errors
/// Something is live, the kernel has no such stack, or it refuses.
pub fn set(
    root: &Path,
    label: Label,
    may_load: bool,
    pins: Vec<Live>,
    modules: &mut dyn Modules,
) -> Result<Chosen, Error> {
    let found = look(root);
    let live: Vec<Live> = found.live.into_iter().chain(pins).collect();
    let is_change = found.label.as_deref().is_some_and(|now| now != label.as_str());
    if is_change && !live.is_empty() {
        return Err(Error::Live { live });
    }
    let (loaded, why) = load(root, label, may_load, modules);
    let path = root.join(LABEL_FILE);
    if !path.exists() {
        return Err(Error::NoOcfs2 { path, may_load, why });
    }
    match parts::presence(root, label.plugin()) {
        Presence::Missing => return Err(Error::NoPlugin(label.plugin())),
        Presence::Loadable if may_load => return Err(Error::NotLoaded { module: label.plugin(), why }),
        Presence::Loadable | Presence::Loaded | Presence::BuiltIn => {}
    }
    store(&path, label)?;
    let record = Record { label: label.as_str().into(), by: "o2cpg stack set".into(), loaded: loaded.clone() };
    write_record(root, record.after(found.started))?;
    let with = |presence| label.modules().into_iter().filter(move |module| parts::presence(root, module) == presence);
    Ok(Chosen {
        label: label.as_str(),
        before: found.label,
        loaded,
        built_in: with(Presence::BuiltIn).collect(),
        not_loaded: with(Presence::Loadable).map(|module| reason(module, may_load, &why)).collect(),
    })
}

/// What the daemon found chosen when it started, and loaded for it.
pub(crate) fn started(root: &Path, loaded: &[&str]) -> Result<(), Error> {
    let found = look(root);
    let loaded = loaded.iter().filter(|module| !SHARED.contains(module)).map(|module| (*module).to_owned()).collect();
    let record = Record { label: found.label.unwrap_or_default(), by: "o2cpgd".into(), loaded };
    write_record(root, record.after(found.started))
}

fn write_record(root: &Path, record: Record) -> Result<(), Error> {
    record::write(root, &record).map_err(|(path, source)| Error::Io { what: "writing", path, source })
}

/// Modules that came into the kernel, and why others did not. One that is missing does not keep the others out.
fn load(root: &Path, label: Label, may_load: bool, modules: &mut dyn Modules) -> (Vec<String>, String) {
    let loadable = |module: &&str| parts::presence(root, module) == Presence::Loadable;
    let wanted: Vec<&str> = label.modules().into_iter().filter(loadable).collect();
    if !may_load || wanted.is_empty() {
        return (Vec::new(), String::new());
    }
    let why = modules.load(&wanted).err().unwrap_or_default();
    let came = wanted.into_iter().filter(|module| parts::presence(root, module).is_there() && !SHARED.contains(module));
    (came.map(str::to_owned).collect(), why)
}

fn reason(module: &str, may_load: bool, why: &str) -> String {
    match (may_load, why) {
        (false, _) => format!("{module}: modprobe = false; the kernel asks for it at the first mount"),
        (true, "") => format!("{module}: modprobe had no effect"),
        (true, why) => format!("{module}: {why}"),
    }
}

/// One write(2) is one store. Read back: only what is there counts.
fn store(path: &Path, label: Label) -> Result<(), Error> {
    let failed = |what| move |source| Error::Io { what, path: path.to_owned(), source };
    fs::write(path, format!("{}\n", label.as_str())).map_err(failed("storing the label in"))?;
    let found = fs::read_to_string(path).map_err(failed("reading back"))?.trim().to_owned();
    if found == label.as_str() {
        return Ok(());
    }
    Err(Error::NotTaken { path: path.to_owned(), wanted: label.as_str(), found })
}

/// What `offline` did, and what it left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offline {
    /// Entries and the cluster directory.
    pub removed: Vec<String>,
    /// Modules.
    pub unloaded: Vec<String>,
    /// What stays, with the reason.
    pub left: Vec<String>,
}

/// Takes back what was started: our part of the node tree, then the modules that were loaded. The caller holds the
/// daemon's lock, so no daemon runs. `tree` is missing where the kernel has none.
///
/// # Errors
/// Something is live, or the kernel refuses an entry's removal.
pub fn offline(root: &Path, tree: Option<&mut dyn Backend>, modules: &mut dyn Modules) -> Result<Offline, Error> {
    let found = look(root);
    if !found.live.is_empty() {
        return Err(Error::Live { live: found.live });
    }
    let mut done = Offline::default();
    if let Some(tree) = tree {
        take_down(root, tree, &mut done)?;
    }
    let Some(record) = found.started else {
        done.left.push("modules: nothing is on record as loaded by o2cpg since the boot".into());
        return Ok(done);
    };
    let is_loaded = |module: &&String| parts::presence(root, module) == Presence::Loaded;
    for module in record.loaded.iter().rev().filter(is_loaded) {
        match modules.unload(module) {
            Ok(()) => done.unloaded.push(module.clone()),
            Err(why) => done.left.push(format!("module {module}: {why}")),
        }
    }
    record::remove(root).map_err(|(path, source)| Error::Io { what: "removing", path, source })?;
    Ok(done)
}

/// Entries that the daemon wrote, and the cluster's directory if nothing else is in it. Never a 0 to `local`.
fn take_down(root: &Path, tree: &mut dyn Backend, done: &mut Offline) -> Result<(), Error> {
    let Some(have) = configfs::read_tree(tree)? else { return Ok(()) };
    let ours = written(root);
    let is_ours = |node: &configfs::Node| ours.contains(&(node.name.to_string(), node.num.as_u8()));
    // The local one first: where a mount has just begun the kernel refuses it, and nothing was touched.
    let (local, others): (Vec<_>, Vec<_>) = have.nodes.values().partition(|node| node.local);
    for node in local.into_iter().chain(others) {
        if !is_ours(node) {
            done.left.push(format!("node {node}: o2cpgd did not write it"));
            continue;
        }
        let op = Op::RemoveNode { cluster: have.name.clone(), entry: Entry::Complete(node.clone()) };
        configfs::perform(tree, &op)?;
        done.removed.push(format!("node {node}"));
    }
    if !done.left.is_empty() || !have.incomplete.is_empty() {
        done.left.push(format!("cluster {}: it has other entries", have.name));
        return Ok(());
    }
    let op = Op::RemoveCluster { cluster: have.name.clone(), was: have.attributes };
    configfs::perform(tree, &op)?;
    done.removed.push(format!("cluster {}", have.name));
    Ok(())
}

/// Name and number of what the daemon wrote, from its state file. Without one, nothing is ours.
fn written(root: &Path) -> BTreeSet<(String, u8)> {
    let saved = StateFile::at(&root.join("run/o2cpg")).read().ok().flatten();
    let entries = saved.into_iter().flat_map(|saved| saved.written);
    entries.map(|entry| (entry.name, entry.number)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Machine, UUID};
    use super::*;
    use agent_core::saved::Saved;
    use configfs::{Attributes, Cluster, Model};

    /// modprobe of a machine made of files.
    struct Loader<'a> {
        machine: &'a Machine,
        asked: Vec<String>,
        refuses: bool,
    }

    impl Loader<'_> {
        fn of(machine: &Machine) -> Loader<'_> {
            Loader { machine, asked: Vec::new(), refuses: false }
        }
    }

    impl Modules for Loader<'_> {
        fn load(&mut self, modules: &[&str]) -> Result<(), String> {
            self.asked.push(format!("load {}", modules.join(" ")));
            if self.refuses {
                return Err("modprobe: FATAL: no".into());
            }
            for module in modules {
                self.machine.write(&format!("sys/module/{module}/initstate"), "live\n");
            }
            if !self.machine.root().join(LABEL_FILE).exists() {
                self.machine.write(LABEL_FILE, "o2cb\n");
            }
            Ok(())
        }

        fn unload(&mut self, module: &str) -> Result<(), String> {
            self.asked.push(format!("unload {module}"));
            match module {
                "ocfs2" => Err("Module ocfs2 is in use".into()),
                _ => {
                    fs::remove_dir_all(self.machine.root().join("sys/module").join(module)).map_err(|it| it.to_string())
                }
            }
        }
    }

    fn installed(machine: &Machine, modules: &[&str]) {
        let list: String = modules.iter().map(|module| format!("kernel/fs/{module}.ko:\n")).collect();
        machine.write("lib/modules/6.1.0/modules.dep", &list);
    }

    fn label(machine: &Machine) -> String {
        fs::read_to_string(machine.root().join(LABEL_FILE)).unwrap()
    }

    #[test]
    fn a_label_is_stored_its_modules_are_loaded_and_both_go_on_record() {
        let machine = Machine::with_ocfs2("o2cb");
        installed(&machine, &["ocfs2", "ocfs2_stack_user", "dlm"]);
        machine.write("lib/modules/6.1.0/modules.builtin", "kernel/fs/configfs/configfs.ko\n");
        let mut loader = Loader::of(&machine);
        let chosen = set(machine.root(), Label::Pcmk, true, Vec::new(), &mut loader).unwrap();
        assert_eq!(loader.asked, ["load ocfs2_stack_user dlm"]);
        assert_eq!(
            (chosen.label, chosen.before.as_deref(), label(&machine).as_str()),
            ("pcmk", Some("o2cb"), "pcmk\n")
        );
        assert_eq!((chosen.loaded, chosen.built_in), (vec!["ocfs2_stack_user".to_owned()], vec!["configfs"]));
        assert!(chosen.not_loaded.is_empty());
        let started = look(machine.root()).started.unwrap();
        assert_eq!((started.label.as_str(), started.loaded), ("pcmk", vec!["ocfs2_stack_user".to_owned()]));
    }

    #[test]
    fn with_anything_live_the_label_stays_and_all_of_it_is_named() {
        let machine = Machine::with_ocfs2("o2cb");
        machine.mount();
        machine.write(&format!("sys/kernel/config/cluster/lab/heartbeat/{UUID}/pid"), "1\n");
        let pins = vec![Live::Pin { text: "a mount is under way".into() }];
        let error = set(machine.root(), Label::Cman, true, pins, &mut Loader::of(&machine)).unwrap_err();
        let Error::Live { live } = &error else { panic!("{error}") };
        assert_eq!((live.len(), label(&machine).as_str(), error.is_refusal()), (3, "o2cb\n", true));
        assert!(set(machine.root(), Label::O2cb, false, Vec::new(), &mut Loader::of(&machine)).is_err(), "no plugin");
        machine.write("sys/module/ocfs2_stack_o2cb/initstate", "live\n");
        assert!(set(machine.root(), Label::O2cb, false, Vec::new(), &mut Loader::of(&machine)).is_ok(), "no change");
    }

    #[test]
    fn modules_are_loaded_only_where_that_is_allowed() {
        let machine = Machine::new();
        installed(&machine, &["configfs", "ocfs2", "ocfs2_stack_o2cb", "ocfs2_dlmfs"]);
        let mut loader = Loader::of(&machine);
        let error = set(machine.root(), Label::O2cb, false, Vec::new(), &mut loader).unwrap_err();
        assert!(matches!(error, Error::NoOcfs2 { may_load: false, .. }) && loader.asked.is_empty());
        let chosen = set(machine.root(), Label::O2cb, true, Vec::new(), &mut loader).unwrap();
        assert_eq!(
            (chosen.before, chosen.loaded),
            (None, vec!["ocfs2".into(), "ocfs2_stack_o2cb".into(), "ocfs2_dlmfs".into()])
        );
    }

    #[test]
    fn what_modprobe_says_is_told() {
        let machine = Machine::new();
        installed(&machine, &["ocfs2"]);
        let mut loader = Loader { refuses: true, ..Loader::of(&machine) };
        let error = set(machine.root(), Label::O2cb, true, Vec::new(), &mut loader).unwrap_err();
        assert!(matches!(error, Error::NoOcfs2 { why, .. } if why == "modprobe: FATAL: no"));
    }

    #[test]
    fn a_plugin_that_the_kernel_was_built_without_is_named() {
        let machine = Machine::with_ocfs2("o2cb");
        let error = set(machine.root(), Label::Cman, true, Vec::new(), &mut Loader::of(&machine)).unwrap_err();
        assert!(matches!(error, Error::NoPlugin("ocfs2_stack_user")));
        assert_eq!(label(&machine), "o2cb\n");
    }

    #[test]
    fn a_store_without_effect_is_no_success() {
        let machine = Machine::with_ocfs2("o2cb");
        machine.write("sys/module/ocfs2_stack_user/initstate", "live\n");
        fs::remove_file(machine.root().join(LABEL_FILE)).unwrap();
        std::os::unix::fs::symlink("/dev/null", machine.root().join(LABEL_FILE)).unwrap();
        let error = set(machine.root(), Label::Cman, true, Vec::new(), &mut Loader::of(&machine)).unwrap_err();
        assert!(matches!(error, Error::NotTaken { wanted: "cman", .. }));
    }

    #[test]
    fn the_kernels_own_busy_is_a_refusal_that_is_explained() {
        let busy = Error::Io { what: "storing", path: "x".into(), source: io::Error::from(Errno::EBUSY) };
        assert!(busy.is_refusal() && busy.fix().starts_with("EBUSY: a volume is mounted"));
        let invalid = Error::Io { what: "storing", path: "x".into(), source: io::Error::from(Errno::EINVAL) };
        assert!(!invalid.is_refusal() && invalid.fix().contains("four characters"));
    }

    fn node(name: &str, num: u32, local: bool) -> configfs::Node {
        configfs::Node {
            name: configfs::NodeName::new(name).unwrap(),
            num: configfs::NodeNum::new(num).unwrap(),
            address: configfs::Address::new(format!("10.0.0.{num}").parse().unwrap()).unwrap(),
            port: configfs::Port::new(7777).unwrap(),
            local,
        }
    }

    /// A tree of alpha and bravo, of which the state file lists these.
    fn tree(machine: &Machine, written: &[&str]) -> Model {
        let name = configfs::ClusterName::new("lab").unwrap();
        let nodes = [node("alpha", 1, true), node("bravo", 2, false)];
        let entry = |node: &configfs::Node| proto::peer::Entry {
            nodeid: u32::from(node.num.as_u8()),
            number: node.num.as_u8(),
            name: node.name.to_string(),
            address: node.address.as_ipv4(),
            port: 7777,
        };
        let written = nodes.iter().filter(|node| written.contains(&node.name.as_str())).map(entry).collect();
        let saved = Saved { cluster: "lab".into(), written, ..Saved::default() };
        machine.write("run/o2cpg/state.json", &serde_json::to_string(&saved).unwrap());
        let mut model = Model::new().with_host_addresses(["10.0.0.1".parse().unwrap()]);
        let cluster = Cluster::new(name, Attributes::default(), nodes).unwrap();
        configfs::apply(&mut model, &configfs::additions(None, &cluster)).unwrap();
        model
    }

    #[test]
    fn offline_takes_back_what_was_started_last_first() {
        let machine = Machine::with_ocfs2("o2cb");
        installed(&machine, &["ocfs2_stack_o2cb"]);
        set(machine.root(), Label::O2cb, true, Vec::new(), &mut Loader::of(&machine)).unwrap();
        started(machine.root(), &["configfs", "ocfs2"]).unwrap();
        let mut model = tree(&machine, &["alpha", "bravo"]);
        let mut loader = Loader::of(&machine);
        let done = offline(machine.root(), Some(&mut model), &mut loader).unwrap();
        assert_eq!(done.removed.last().map(String::as_str), Some("cluster lab"));
        assert_eq!(configfs::read_tree(&model).unwrap(), None);
        assert_eq!(loader.asked, ["unload ocfs2", "unload ocfs2_stack_o2cb"]);
        assert_eq!(
            (done.unloaded, done.left),
            (vec!["ocfs2_stack_o2cb".into()], vec!["module ocfs2: Module ocfs2 is in use".into()])
        );
        assert_eq!(look(machine.root()).started, None);
    }

    #[test]
    fn offline_leaves_what_somebody_else_wrote() {
        let machine = Machine::with_ocfs2("o2cb");
        let mut model = tree(&machine, &["alpha"]);
        let done = offline(machine.root(), Some(&mut model), &mut Loader::of(&machine)).unwrap();
        assert_eq!(done.removed.len(), 1);
        assert!(done.left[0].contains("bravo") && done.left[1] == "cluster lab: it has other entries");
        assert!(configfs::read_tree(&model).unwrap().is_some());
    }

    #[test]
    fn offline_with_a_mount_does_nothing() {
        let machine = Machine::with_ocfs2("o2cb");
        machine.mount();
        let mut model = tree(&machine, &["alpha", "bravo"]);
        let refused = offline(machine.root(), Some(&mut model), &mut Loader::of(&machine));
        assert!(matches!(refused, Err(Error::Live { .. })));
        assert_eq!(configfs::read_tree(&model).unwrap().unwrap().nodes.len(), 2);
    }
}
