//! Settings while the daemon runs: what is in force, and what waits for a safe moment and why.

use super::keys::{self, When};
use super::{Error, Given, Layer, Origin, Settings, Values, command_line, from_file};
use agent_core::policy::{Fence, Policy};
use proto::control::api;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The layers, and what came of them.
#[derive(Debug)]
pub struct Live {
    path: Option<PathBuf>,
    file: Layer,
    cmap: Layer,
    arguments: Layer,
    in_force: Settings,
    pending: BTreeMap<String, Pending>,
    /// The first reading of cmap that could be taken belongs to the start.
    cmap_was_read: bool,
    /// The section of corosync.conf that is not taken, and why.
    cmap_refused: Option<(Layer, String)>,
    /// Why the file as it is now is not taken.
    file_refused: Option<String>,
}

/// A value that is not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    text: String,
    origin: Origin,
    why: &'static str,
}

/// What a new reading changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The core's policy.
    pub policy: bool,
    /// The link whose addresses are used.
    pub link: bool,
    /// The log's directives.
    pub log_level: bool,
}

impl Live {
    /// Reads file and command line. `path`: as named on the command line; without it the default file, if it is there.
    pub fn start(path: Option<&Path>, pairs: &[String]) -> Result<Live, Error> {
        let (file, arguments) = (from_file(path)?, command_line(pairs)?);
        let in_force = Settings::checked(Settings::merged(&[&file, &arguments])?)?;
        Ok(Live {
            path: path.map(Path::to_owned),
            file,
            cmap: Layer::new(),
            arguments,
            in_force,
            pending: BTreeMap::new(),
            cmap_was_read: false,
            cmap_refused: None,
            file_refused: None,
        })
    }

    /// What is written and cannot be taken; what was in force stays.
    #[must_use]
    pub fn mistake(&self) -> Option<&str> {
        let of_cmap = self.cmap_refused.as_ref().map(|(_, why)| why.as_str());
        of_cmap.or(self.file_refused.as_deref())
    }

    /// Nothing of our section of corosync.conf was ever in force, as there is a mistake in it: this node does not know what all
    /// others go by.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.cmap_refused.is_some() && !self.cmap_was_read
    }

    /// What the core is to go by. Where it is not known whether the cluster has a fence gate it is closed.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let policy = self.in_force.policy.clone();
        if !self.is_blind() {
            return policy;
        }
        Policy { fence: Fence::Manual, mistake: self.mistake().map(str::to_owned), ..policy }
    }

    /// What holds.
    #[must_use]
    pub fn in_force(&self) -> &Settings {
        &self.in_force
    }

    /// Takes our section of corosync's configuration, keys without `o2cpg.`. A section with a mistake is not taken at
    /// all: what was in force stays.
    pub fn cmap_read(&mut self, own: &BTreeMap<String, String>, is_local: bool) -> Result<Changed, Error> {
        let given = |(key, text): (&String, &String)| Given {
            key: key.clone(),
            text: text.clone(),
            origin: Origin::Cmap(key.clone()),
        };
        self.take_cmap(own.iter().map(given).collect(), is_local)
    }

    fn take_cmap(&mut self, section: Layer, is_local: bool) -> Result<Changed, Error> {
        let starting = !self.cmap_was_read;
        let before = std::mem::replace(&mut self.cmap, section);
        let changed = self.take(is_local && !starting, starting);
        self.cmap_refused = None;
        match &changed {
            Ok(_) => self.cmap_was_read = true,
            Err(error) => {
                let refused = std::mem::replace(&mut self.cmap, before);
                self.cmap_refused = Some((refused, text(error)));
            }
        }
        changed
    }

    /// Reads the file again. A file with a mistake is not taken. A section of corosync.conf that lacked something may have
    /// it now.
    pub fn file_again(&mut self, is_local: bool) -> Result<Changed, Error> {
        let changed = self.take_file(is_local);
        self.file_refused = changed.as_ref().err().map(text);
        changed
    }

    fn take_file(&mut self, is_local: bool) -> Result<Changed, Error> {
        let file = from_file(self.path.as_deref())?;
        let before = std::mem::replace(&mut self.file, file);
        if let Some((section, _)) = self.cmap_refused.clone() {
            if let Ok(changed) = self.take_cmap(section, is_local) {
                return Ok(changed);
            }
        }
        let changed = self.take(is_local, false);
        if changed.is_err() {
            self.file = before;
        }
        changed
    }

    /// Looks again at what is pending; cheap when nothing is.
    pub fn reconsider(&mut self, is_local: bool) -> Changed {
        if self.pending.is_empty() {
            return Changed::default();
        }
        self.take(is_local, false).unwrap_or_default()
    }

    fn take(&mut self, is_local: bool, starting: bool) -> Result<Changed, Error> {
        let wanted = Settings::merged(&[&self.file, &self.cmap, &self.arguments])?;
        Settings::checked(wanted.clone())?;
        let (values, pending) = self.part(wanted, is_local, starting);
        let next = Settings::checked(values)?;
        let changed = Changed {
            policy: next.policy != self.in_force.policy,
            link: next.link != self.in_force.link,
            log_level: next.log_level != self.in_force.log_level,
        };
        (self.in_force, self.pending) = (next, pending);
        Ok(changed)
    }

    /// Parts what is wanted into what may hold from here on and what has to wait.
    fn part(&self, wanted: Values, is_local: bool, starting: bool) -> (Values, BTreeMap<String, Pending>) {
        let mut values = wanted.clone();
        let mut pending = BTreeMap::new();
        let held = self.in_force.values.keys().chain(wanted.keys());
        let differs = |key: &str| self.text(key) != wanted.get(key).map(|(text, _)| text.as_str());
        for key in held.filter(|key| differs(key)) {
            let beside = waits_with(key).filter(|other| differs(other));
            let reasons = [Some(key.as_str()), beside].into_iter().flatten();
            let Some(why) = reasons.filter_map(|key| why_not_now(key, is_local, starting)).next() else { continue };
            let (text, origin) = wanted.get(key).cloned().unwrap_or_else(|| ("(not set)".into(), Origin::Default));
            pending.insert(key.clone(), Pending { text, origin, why });
            match self.in_force.values.get(key) {
                Some(value) => values.insert(key.clone(), value.clone()),
                None => values.remove(key),
            };
        }
        (values, pending)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.in_force.values.get(key).map(|(text, _)| text.as_str())
    }

    /// Every setting with its origin, and what waits.
    #[must_use]
    pub fn show(&self) -> api::Config {
        let waits = |key: &str| {
            let pending = self.pending.get(key);
            pending.map_or_else(String::new, |it| format!("{} from {}: {}", it.text, it.origin, it.why))
        };
        let setting = |(key, (value, origin)): (&String, &(String, Origin))| api::config::Setting {
            key: key.clone(),
            value: value.clone(),
            origin: origin.to_string(),
            pending: waits(key),
        };
        let unset = self.pending.keys().filter(|key| !self.in_force.values.contains_key(*key));
        let unset = unset.map(|key| api::config::Setting {
            key: key.clone(),
            value: String::new(),
            origin: Origin::Default.to_string(),
            pending: waits(key),
        });
        let refused = self.cmap_refused.iter().map(|(_, why)| api::config::Setting {
            key: "o2cpg".into(),
            value: String::new(),
            origin: "corosync.conf".into(),
            pending: format!("the section is not taken: {why}"),
        });
        let file = self.file_refused.iter().map(|why| api::config::Setting {
            key: "o2cpg.toml".into(),
            value: String::new(),
            origin: "file".into(),
            pending: format!("the file is not taken: {why}"),
        });
        let settings = self.in_force.values.iter().map(setting).chain(unset).chain(refused).chain(file).collect();
        api::Config { schema: "o2cpg.config/1".into(), settings }
    }
}

/// With what caused it.
fn text(error: &Error) -> String {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    format!("{error}{cause}")
}

/// What makes sense only beside another setting is taken when that one is.
fn waits_with(key: &str) -> Option<&'static str> {
    (key == "fence_command").then_some("fence")
}

fn why_not_now(key: &str, is_local: bool, starting: bool) -> Option<&'static str> {
    match keys::find(key)?.when {
        When::NotWhileLocal if is_local => Some(
            "this node is in the table with the former value; taken at the next start of o2cpgd without mounted volumes",
        ),
        When::Start if !starting => Some("taken at the next start of o2cpgd"),
        When::Start => Some("read before corosync is asked: set it in the file"),
        When::NotWhileLocal | When::Live => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    fn live(text: &str) -> (tempfile::TempDir, Live) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o2cpg.toml");
        std::fs::write(&path, text).unwrap();
        let live = Live::start(Some(&path), &["o2cb.reconnect_delay_ms=900".to_owned()]).unwrap();
        (dir, live)
    }

    fn shown(live: &Live, key: &str) -> (String, String, String) {
        let config = live.show();
        let it = config.settings.into_iter().find(|it| it.key == key).expect("shown");
        (it.value, it.origin, it.pending)
    }

    #[test]
    fn each_layer_wins_over_the_one_before_and_says_so() {
        let (dir, mut live) = live("[o2cb]\nport = 7000\ndead_threshold = 41\n");
        live.cmap_read(&own(&[("o2cb.dead_threshold", "51"), ("o2cb.reconnect_delay_ms", "800")]), false).unwrap();
        let file = dir.path().join("o2cpg.toml");
        let port = ("7000".to_owned(), format!("{}:2", file.display()), String::new());
        assert_eq!(shown(&live, "o2cb.port"), port);
        let threshold = shown(&live, "o2cb.dead_threshold");
        assert_eq!(threshold, ("51".into(), "corosync.conf (cmap o2cpg.o2cb.dead_threshold)".into(), String::new()));
        let delay = ("900".to_owned(), "command line".to_owned(), String::new());
        assert_eq!(shown(&live, "o2cb.reconnect_delay_ms"), delay);
        assert_eq!(shown(&live, "link").1, "default");
    }

    #[test]
    fn the_first_reading_of_cmap_counts_even_over_an_adopted_entry() {
        let (_dir, mut live) = live("");
        let changed = live.cmap_read(&own(&[("o2cb.dead_threshold", "51")]), true).unwrap();
        assert!(changed.policy);
        assert_eq!(live.in_force().policy.attributes.dead_threshold, 51);
    }

    #[test]
    fn an_unsafe_change_waits_while_the_entry_is_local_and_is_taken_after() {
        let (_dir, mut live) = live("");
        live.cmap_read(&own(&[]), false).unwrap();
        let changed = live.cmap_read(&own(&[("o2cb.port", "7001"), ("log.level", "debug")]), true).unwrap();
        assert_eq!(changed, Changed { log_level: true, ..Changed::default() });
        let (value, _, pending) = shown(&live, "o2cb.port");
        assert_eq!(value, "7777");
        assert!(pending.starts_with("7001 from corosync.conf (cmap o2cpg.o2cb.port): this node is in the table"));
        assert!(live.reconsider(false).policy);
        assert_eq!(shown(&live, "o2cb.port").0, "7001");
        assert_eq!(shown(&live, "o2cb.port").2, "");
    }

    #[test]
    fn a_mistake_in_corosync_conf_changes_nothing_and_is_shown() {
        let (_dir, mut live) = live("");
        live.cmap_read(&own(&[("o2cb.port", "7001")]), false).unwrap();
        let error = live.cmap_read(&own(&[("o2cb.prot", "7002")]), false).expect_err("unknown");
        assert!(error.to_string().contains("did you mean \"o2cb.port\"?"), "{error}");
        assert_eq!(live.in_force().policy.port, 7001);
        assert!(shown(&live, "o2cpg").2.contains("o2cb.prot"));
        assert!(live.mistake().expect("there is one").contains("o2cb.prot") && !live.is_blind());
    }

    #[test]
    fn with_a_mistake_from_the_start_the_fence_gate_is_closed() {
        let (_dir, mut live) = live("");
        live.cmap_read(&own(&[("fence", "manual"), ("o2cb.prot", "7002")]), true).expect_err("unknown");
        assert!(live.is_blind() && live.in_force().policy.fence == Fence::None);
        assert_eq!(live.policy().fence, Fence::Manual);
        live.cmap_read(&own(&[("o2cb.port", "7002")]), true).unwrap();
        assert!(!live.is_blind() && live.mistake().is_none());
        assert_eq!((live.policy().fence, live.policy().port), (Fence::None, 7002), "as the first reading");
    }

    #[test]
    fn a_section_that_lacked_something_is_taken_when_the_file_has_it() {
        let (dir, mut live) = live("");
        live.cmap_read(&own(&[("fence", "command")]), false).expect_err("no program");
        assert!(shown(&live, "o2cpg").2.contains("fence_command"));
        std::fs::write(dir.path().join("o2cpg.toml"), "fence_command = \"/sbin/fence\"\n").unwrap();
        assert!(live.file_again(false).unwrap().policy);
        assert_eq!(shown(&live, "fence").0, "command");
        assert!(live.show().settings.iter().all(|it| it.key != "o2cpg"));
    }

    #[test]
    fn a_fence_that_has_to_stay_keeps_its_program() {
        let (dir, mut live) = live("fence = \"command\"\nfence_command = \"/sbin/fence\"\n");
        live.cmap_read(&own(&[]), false).unwrap();
        std::fs::write(dir.path().join("o2cpg.toml"), "").unwrap();
        assert_eq!(live.file_again(true).unwrap(), Changed::default());
        for (key, value) in [("fence", "command"), ("fence_command", "/sbin/fence")] {
            let (shown, _, pending) = shown(&live, key);
            assert!(shown == value && pending.contains("this node is in the table"), "{key}: {shown}, {pending}");
        }
        assert!(live.reconsider(false).policy);
        assert_eq!(shown(&live, "fence").0, "none");
    }

    #[test]
    fn a_file_with_a_mistake_is_not_taken_at_a_hangup() {
        let (dir, mut live) = live("[log]\nlevel = \"warn\"\n");
        std::fs::write(dir.path().join("o2cpg.toml"), "[log]\nlevl = \"debug\"\n").unwrap();
        live.file_again(false).expect_err("unknown key");
        assert_eq!(live.in_force().log_level, "warn");
        assert!(
            live.mistake().expect("there is one").contains("levl") && shown(&live, "o2cpg.toml").2.contains("levl")
        );
        std::fs::write(dir.path().join("o2cpg.toml"), "[log]\nlevel = \"debug\"\n").unwrap();
        assert!(live.file_again(false).unwrap().log_level);
        assert_eq!(live.mistake(), None);
    }

    #[test]
    fn a_named_file_must_be_there() {
        let error = Live::start(Some(Path::new("/nonexistent/o2cpg.toml")), &[]).expect_err("missing");
        assert_eq!(error.to_string(), "reading /nonexistent/o2cpg.toml");
    }
}
