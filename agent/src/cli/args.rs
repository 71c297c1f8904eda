//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::duration::{parse, parse_deadline};
use super::exit::EXIT_CODES;
use crate::groupd;

/// Where the daemon listens.
pub const SOCKET: &str = "/run/o2cpg/control.sock";

/// Shows and steers o2cpgd, which keeps the kernel's o2cb node tree as corosync's membership says.
///
/// Without a command: status.
#[derive(Debug, Parser)]
#[command(name = "o2cpg", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Args {
    /// For all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do; nothing: status.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of all commands.
#[derive(Clone, Debug, ClapArgs)]
pub struct Global {
    /// Form of the answer; json is indented, jsonl one line for each answer or event
    #[arg(short, long, global = true, value_name = "FORM", value_parser = PossibleValuesParser::new(["text", "json", "jsonl"]))]
    pub output: Option<String>,
    /// Print nothing but failures
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Give up after this long (500ms, 5s, 10m, 1h) [default: 5s; wait: 60s; dump: 30s]
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_deadline)]
    pub timeout: Option<Duration>,
    /// Colour; auto: on a terminal and without NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// The daemon's control socket
    #[arg(long, global = true, value_name = "PATH", env = "O2CPG_SOCKET", default_value = SOCKET)]
    pub socket: PathBuf,
    /// Do without the daemon: read the kernel and corosync directly (status, nodes, mounts, regions, plan, cpg list)
    #[arg(long, global = true)]
    pub local: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Even into files.
    Always,
    /// Not at all.
    Never,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Everything on one screen: who is here, who waits for whom, since when
    Status {
        /// End as a monitoring plugin does: 0 ok, 1 warning, 2 critical, 3 unknown (also if it cannot be read)
        #[arg(long)]
        check: bool,
    },
    /// The nodes that corosync, the node table or an agent knows
    Nodes,
    /// The process groups that o2cpgd works in, or those of programs that speak libgroup
    Groups(Groups),
    /// Be a program that speaks libgroup: join, answer and leave by hand. Its end leaves the groups; its death is one
    Groupctl(Groupctl),
    /// The volumes that nodes use: which nodes, and where they are mounted here
    Mounts,
    /// The heartbeat regions of this kernel
    Regions,
    /// The agreed node table against what the kernel holds
    Plan,
    /// What happened, one line each
    Events(Events),
    /// Status again and again; marks what changed. Ctrl-C or q Enter ends it
    Watch {
        /// Time between two looks
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_deadline)]
        interval: Duration,
    },
    /// Return when something is so, or at the deadline
    Wait {
        /// What to wait for
        #[arg(long = "for", value_name = "WHAT")]
        condition: Condition,
        /// Name or nodeid, for node-gone and node-ready
        node: Option<String>,
    },
    /// May o2cpgd stop? Ends with 0 if yes, with 5 if not, and says why not
    CanStop,
    /// Keep o2cpgd, or the entry of a node, until it is unpinned
    Pin(Pin),
    /// Take a pin away
    Unpin(Pin),
    /// Have all members remove the entry of a node that is gone for good
    Forget {
        /// Name or nodeid
        node: String,
        /// Do not ask; the same word as NODE again
        #[arg(long, value_name = "NODE")]
        yes_i_am_sure: Option<String>,
    },
    /// Say that a dead node is off, so that what waits for its fencing goes on
    AckDead {
        /// Name or nodeid
        node: String,
        /// Its name once more, for scripts; a person is asked
        #[arg(long, value_name = "NODE")]
        yes_i_am_sure: Option<String>,
    },
    /// The kernel's cluster stack: which one the next mount takes, what it is made of, what is live
    #[command(subcommand)]
    Stack(Stack),
    /// What the daemon writes to its log
    #[command(subcommand)]
    Log(Log),
    /// Settings
    #[command(subcommand)]
    Config(Config),
    /// The flight recorder, as JSON lines: what the daemon saw, for replay
    Dump {
        /// Write to FILE; without, or with text, json, jsonl: to standard output
        #[arg(id = "output", short = 'o', long = "output", value_name = "FILE")]
        output: Option<String>,
    },
    /// Step a dump through the deciding part, without corosync and kernel
    Replay {
        /// What dump wrote
        file: PathBuf,
        /// Stop after this many events
        #[arg(long, value_name = "N")]
        until: Option<u64>,
    },
    /// corosync's closed process groups
    #[command(subcommand)]
    Cpg(Cpg),
    /// Completions for a shell, to standard output
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    Man {
        /// Into this directory
        dir: PathBuf,
    },
}

/// Which events.
#[derive(Clone, Debug, ClapArgs)]
pub struct Events {
    /// Those after the event with this id
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub since: Option<u64>,
    /// Everything that is still held; the default without --follow
    #[arg(long)]
    pub all: bool,
    /// Go on with new ones until interrupted
    #[arg(short, long)]
    pub follow: bool,
}

/// Which groups, and how.
#[derive(Clone, Debug, ClapArgs)]
pub struct Groups {
    /// Those that groupd's clients have; asks its own socket, so it works with the original too
    #[arg(long)]
    pub legacy: bool,
    /// Laid out as another tool does it (-v as there)
    #[arg(long, value_name = "TOOL")]
    pub style: Option<Style>,
    /// Abstract name of groupd's socket
    #[arg(long, value_name = "NAME", env = "O2CPG_GROUPD_SOCKET", default_value = groupd::SOCKET)]
    pub groupd_socket: String,
}

/// Whose layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// group_tool of cluster 2 and 3
    #[value(name = "group_tool")]
    GroupTool,
}

/// Which client to be.
#[derive(Clone, Debug, ClapArgs)]
pub struct Groupctl {
    /// Level of its groups, 0 to 3
    #[arg(long, value_name = "LEVEL", default_value_t = 3)]
    pub level: u8,
    /// What it calls itself in lists
    #[arg(long = "type", value_name = "TYPE", default_value = "groupctl")]
    pub r#type: String,
    /// Answer stops and starts at once
    #[arg(long)]
    pub auto: bool,
    /// Abstract name of groupd's socket
    #[arg(long, value_name = "NAME", env = "O2CPG_GROUPD_SOCKET", default_value = groupd::SOCKET)]
    pub groupd_socket: String,
    /// One command a word, as in groupctl --auto 'join a' 'wait finish'; without any: lines of standard input. help shows them
    pub commands: Vec<String>,
}

/// A pin.
#[derive(Clone, Debug, ClapArgs)]
pub struct Pin {
    /// Why; shown to everybody
    pub text: String,
    /// Of this node's entry instead of the daemon
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Condition {
    /// This node has quorum
    Quorate,
    /// This node is a full member, and every member has its entry
    Ready,
    /// Nothing is waited for and nothing is being changed
    Settled,
    /// NODE is out of the ring
    NodeGone,
    /// NODE is a full member
    NodeReady,
}

/// The cluster stack.
#[derive(Clone, Debug, Subcommand)]
pub enum Stack {
    /// Show it; works without the daemon
    Show,
    /// Have the next mount take another one; refused while anything is mounted
    Set {
        /// o2cb, pcmk or cman
        label: String,
    },
    /// Take back what was started since the boot: our node entries, the modules that were loaded; o2cpgd must not run
    Offline,
}

/// The daemon's log.
#[derive(Clone, Debug, Subcommand)]
pub enum Log {
    /// Show what is logged
    Get,
    /// Change it while the daemon runs
    Set {
        /// For example debug, or info,cpg_glue=trace; without a level of its own in front all the rest is silent
        directives: String,
        /// Back to the configured level after this long
        #[arg(long = "for", value_name = "TIME", value_parser = parse)]
        for_time: Option<Duration>,
    },
}

/// Settings.
#[derive(Clone, Debug, Subcommand)]
pub enum Config {
    /// Every setting, its value, and where it comes from
    Show,
}

/// Groups of corosync.
#[derive(Clone, Debug, Subcommand)]
pub enum Cpg {
    /// Groups and members, laid out as corosync-cpgtool does; marks members whose node is gone
    List(CpgList),
}

/// How groups are listed; the options of corosync-cpgtool.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct CpgList {
    /// One member per line, fields apart by this character
    #[arg(short, value_name = "DELIMITER")]
    pub delimiter: Option<char>,
    /// Only the names of the groups
    #[arg(short)]
    pub names: bool,
    /// Do not escape unprintable bytes of names
    #[arg(short = 'e')]
    pub raw: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(line: &str) -> Args {
        Args::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in ["o2cpg -o json --timeout 1s nodes", "o2cpg nodes -o json --timeout 1s"] {
            let args = parsed(line);
            assert_eq!(args.global.output.as_deref(), Some("json"));
            assert_eq!(args.global.timeout, Some(Duration::from_secs(1)));
        }
    }

    #[test]
    fn dump_takes_a_file_where_others_take_a_form() {
        let Some(Command::Dump { output }) = parsed("o2cpg dump -o /x/y.jsonl").command else { panic!("no dump") };
        assert_eq!(output.as_deref(), Some("/x/y.jsonl"));
        let Some(Command::Dump { output }) = parsed("o2cpg -o jsonl dump").command else { panic!("no dump") };
        assert_eq!(output.as_deref(), Some("jsonl"));
        assert!(Args::try_parse_from(["o2cpg", "status", "-o", "/x/y.jsonl"]).is_err());
    }

    #[test]
    fn wait_takes_the_node_behind_the_condition() {
        let args = parsed("o2cpg wait --for node-gone charlie --timeout 60s");
        let Some(Command::Wait { condition, node }) = args.command else { panic!("no wait") };
        assert_eq!((condition, node.as_deref()), (Condition::NodeGone, Some("charlie")));
    }

    #[test]
    fn cpg_list_takes_the_options_of_cpgtool() {
        let Some(Command::Cpg(Cpg::List(list))) = parsed("o2cpg cpg list -d, -e -n").command else { panic!("no list") };
        assert_eq!((list.delimiter, list.names, list.raw), (Some(','), true, true));
    }
}
