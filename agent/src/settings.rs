//! What can be set, where each value came from, and whether it may change while the daemon runs.
//!
//! Four layers, the later one wins: defaults, /etc/o2cpg/o2cpg.toml, the section `o2cpg { }` of corosync.conf (read from
//! cmap as `o2cpg.KEY`), and `--set KEY=VALUE`. All name a setting the same way: `o2cb.dead_threshold` is
//! `dead_threshold` in `[o2cb]` of the file. Every value is checked once, by the table in `keys.rs`.

mod file;
mod keys;
mod live;

use agent_core::policy::{Fence, Policy};
use configfs::Invalid;
use groupd_compat::machine::{Compat, OnClientDeath};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

pub use live::{Changed, Live};

/// Read when no other is named; it may be missing.
pub const DEFAULT_FILE: &str = "/etc/o2cpg/o2cpg.toml";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything else.
    Default,
    /// The configuration file.
    File {
        /// As it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// corosync's configuration; the key without `o2cpg.`.
    Cmap(String),
    /// `--set` or an option of its own.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Cmap(key) => write!(f, "corosync.conf (cmap o2cpg.{key})"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// Why the settings cannot be used. Each says which value and where it stands; the operator's to repair, exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("reading {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}: {what}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser said.
        what: String,
    },
    /// There is no such setting.
    #[error("{origin}: unknown setting {key:?}{}", suggested.map(|name| format!("; did you mean {name:?}?")).unwrap_or_default())]
    Unknown {
        /// Where.
        origin: Origin,
        /// What was written.
        key: String,
        /// The nearest that exists.
        suggested: Option<&'static str>,
    },
    /// The value breaks the setting's rule.
    #[error("{origin}: {key} is {text:?}, must be {rule}")]
    Value {
        /// Where.
        origin: Origin,
        /// Which setting.
        key: String,
        /// What was written.
        text: String,
        /// What would do.
        rule: &'static str,
    },
    /// Values that are right each, but not together.
    #[error("{origins}: {rule}")]
    Together {
        /// Where they stand.
        origins: String,
        /// What the kernel would say.
        rule: Invalid,
    },
    /// Two nodes are given one number.
    #[error("{origin}: {key} gives number {number} to a second node")]
    SameNumber {
        /// Where.
        origin: Origin,
        /// The second of the two.
        key: String,
        /// Which number.
        number: u8,
    },
    /// `--set` without an equals sign.
    #[error("command line: --set {0:?} is not KEY=VALUE")]
    NotAPair(String),
}

/// One value as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    key: String,
    text: String,
    origin: Origin,
}

/// What one place says, in its order.
pub(crate) type Layer = Vec<Given>;

/// Values by setting, with where they came from.
type Values = BTreeMap<String, (String, Origin)>;

/// Every setting, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What the core needs.
    pub policy: Policy,
    /// The fence program; used with `fence = "command"`.
    pub fence_command: String,
    /// How long it may run.
    pub fence_timeout: Duration,
    /// Which `ringN_addr` of the nodelist o2net uses.
    pub link: u8,
    /// Whether modules are loaded and configfs is mounted where they are not.
    pub modprobe: bool,
    /// Whether the daemon's memory is locked.
    pub lock_memory: bool,
    /// Directives of the log, as in `info,cpg_glue=trace`.
    pub log_level: String,
    /// Who besides root may look; `None`: haclient if it exists.
    pub control_group: Option<String>,
    /// Whether tools and programs made for ocfs2_controld and o2cb_controld are served on their sockets.
    pub controld: bool,
    /// How programs that speak libgroup are served; `None`: not at all.
    pub groupd: Option<Compat>,
    /// Abstract name of their socket.
    pub groupd_socket: String,
    /// What becomes of the groups of one that dies.
    pub on_client_death: OnClientDeath,
    /// Bound of the flight recorder.
    pub recorder_size_bytes: u64,
    values: Values,
}

impl Settings {
    /// The values of all layers, unchecked; the later layer wins.
    fn merged(layers: &[&Layer]) -> Result<Values, Error> {
        let mut values = keys::defaults();
        for given in layers.iter().copied().flatten() {
            if keys::find(&given.key).is_none() {
                let suggested = keys::nearest(&given.key);
                return Err(Error::Unknown { origin: given.origin.clone(), key: given.key.clone(), suggested });
            }
            values.insert(given.key.clone(), (given.text.clone(), given.origin.clone()));
        }
        Ok(values)
    }

    fn checked(values: Values) -> Result<Settings, Error> {
        let mut settings = Settings {
            policy: Policy::default(),
            fence_command: String::new(),
            fence_timeout: Duration::from_secs(60),
            link: 0,
            modprobe: true,
            lock_memory: false,
            log_level: String::new(),
            control_group: None,
            controld: true,
            groupd: None,
            groupd_socket: String::new(),
            on_client_death: OnClientDeath::default(),
            recorder_size_bytes: 0,
            values: BTreeMap::new(),
        };
        for (key, (text, origin)) in &values {
            let known = keys::find(key).expect("merged() lets only known settings through");
            if (known.set)(&mut settings, key, text).is_none() {
                let (origin, text) = (origin.clone(), text.clone());
                return Err(Error::Value { origin, key: key.clone(), text, rule: known.rule });
            }
        }
        settings.values = values;
        settings.check_together()?;
        Ok(settings)
    }

    fn check_together(&self) -> Result<(), Error> {
        if let Err(rule) = self.policy.attributes.check() {
            let of = |key: &str| self.values.get(key).map_or_else(String::new, |(_, origin)| origin.to_string());
            let origins = BTreeSet::from([of("o2cb.keepalive_delay_ms"), of("o2cb.idle_timeout_ms")]);
            let origins = origins.into_iter().collect::<Vec<_>>().join(" and ");
            return Err(Error::Together { origins, rule });
        }
        if self.policy.fence == Fence::Command && self.fence_command.is_empty() {
            let (text, origin) = self.values.get("fence").cloned().unwrap_or((String::new(), Origin::Default));
            return Err(Error::Value {
                origin,
                key: "fence".into(),
                text,
                rule: "none or manual without a fence_command",
            });
        }
        let mut numbers = BTreeSet::new();
        for (nodeid, number) in &self.policy.numbers {
            if !numbers.insert(number) {
                let key = format!("numbers.{nodeid}");
                let origin = self.values.get(&key).map_or(Origin::Default, |(_, origin)| origin.clone());
                return Err(Error::SameNumber { origin, key, number: *number });
            }
        }
        Ok(())
    }
}

/// What `--set` says.
pub(crate) fn command_line(pairs: &[String]) -> Result<Layer, Error> {
    let given = |pair: &String| {
        let (key, text) = pair.split_once('=').ok_or_else(|| Error::NotAPair(pair.clone()))?;
        Ok(Given { key: key.trim().into(), text: text.trim().into(), origin: Origin::CommandLine })
    };
    pairs.iter().map(given).collect()
}

/// What the file says. Without a name the default one, which may be missing.
pub(crate) fn from_file(path: Option<&Path>) -> Result<Layer, Error> {
    let named = path.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(named) {
        Ok(text) => file::parse(named, &text),
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(Layer::new()),
        Err(source) => Err(Error::Read { path: named.into(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::ids::NodeId;
    use configfs::Attributes;

    fn settings(text: &str) -> Result<Settings, Error> {
        let layer = file::parse(Path::new("o2cpg.toml"), text)?;
        Settings::checked(Settings::merged(&[&layer])?)
    }

    fn refusal(text: &str) -> String {
        settings(text).expect_err(text).to_string()
    }

    #[test]
    fn without_any_words_everything_is_as_the_core_and_the_kernel_have_it() {
        let settings = settings("").unwrap();
        assert_eq!(settings.policy, Policy::default());
        assert_eq!(settings.policy.attributes, Attributes::KERNEL_DEFAULTS);
        assert_eq!((settings.link, settings.log_level.as_str()), (0, "info"));
        assert!(settings.modprobe && !settings.lock_memory && settings.control_group.is_none());
    }

    #[test]
    fn the_file_says_what_the_daemon_does() {
        let text = "forget = \"gone\"\nlink = 1\n[o2cb]\nport = 7000\ndead_threshold = 61\nfence_method = \"panic\"\n\
                    [numbers]\n300 = 7\n[control]\ngroup = \"ops\"\n";
        let settings = settings(text).unwrap();
        assert_eq!((settings.policy.port, settings.policy.attributes.dead_threshold, settings.link), (7000, 61, 1));
        assert_eq!(settings.policy.numbers, BTreeMap::from([(NodeId(300), 7)]));
        assert_eq!(settings.control_group.as_deref(), Some("ops"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_name() {
        let text = refusal("[o2cb]\nport = 7777\ndead_treshold = 31\n");
        assert_eq!(text, "o2cpg.toml:3: unknown setting \"o2cb.dead_treshold\"; did you mean \"o2cb.dead_threshold\"?");
        assert_eq!(
            refusal("dead_threshold = 31\n"),
            "o2cpg.toml:1: unknown setting \"dead_threshold\"; did you mean \"o2cb.dead_threshold\"?"
        );
        assert_eq!(refusal("[pacemaker]\n"), "o2cpg.toml:1: unknown setting \"pacemaker\"");
    }

    #[test]
    fn a_fence_gate_without_its_program_is_refused() {
        assert_eq!(
            refusal("fence = \"command\"\n"),
            "o2cpg.toml:1: fence is \"command\", must be none or manual without a fence_command"
        );
        assert!(settings("fence = \"command\"\nfence_command = \"/sbin/fence\"\n").is_ok());
    }

    #[test]
    fn a_bad_value_is_refused_with_its_line_and_the_rule() {
        assert_eq!(
            refusal("[o2cb]\ndead_threshold = 3\n"),
            "o2cpg.toml:2: o2cb.dead_threshold is \"3\", must be a number of heartbeats from 4 to 2147484"
        );
        assert_eq!(
            refusal("[numbers]\n300 = 255\n"),
            "o2cpg.toml:2: numbers.300 is \"255\", must be an o2cb number from 0 to 254"
        );
        assert_eq!(refusal("forget = [1]\n"), "o2cpg.toml:1: forget is \"a list\", must be unconfigured or gone");
        assert!(refusal("port = \n").starts_with("o2cpg.toml:1: "));
    }

    #[test]
    fn values_that_do_not_fit_together_name_both_places() {
        let text = refusal("[o2cb]\nidle_timeout_ms = 5000\n\nkeepalive_delay_ms = 5000\n");
        assert!(text.starts_with("o2cpg.toml:2 and o2cpg.toml:4: "), "{text}");
        assert_eq!(
            refusal("[numbers]\n300 = 7\n301 = 7\n"),
            "o2cpg.toml:3: numbers.301 gives number 7 to a second node"
        );
    }

    #[test]
    fn a_pair_on_the_command_line_needs_an_equals_sign() {
        let error = command_line(&["o2cb.port".into()]).expect_err("no value");
        assert_eq!(error.to_string(), "command line: --set \"o2cb.port\" is not KEY=VALUE");
    }
}
