//! The command `o2cpg`: parse, ask one question, render the answer. The only part of the project that prints.
//!
//! | module | what |
//! |---|---|
//! | [`args`] | the command line |
//! | [`client`] | one connection to the daemon, with a deadline over everything |
//! | [`output`], [`text`], [`table`] | standard output and error, lines, tables |
//! | [`render`] | answers as text: pure functions |
//! | [`exit`] | exit codes, and failures in three parts |
//! | `asking`, [`volumes`], `follow`, `watch`, `forget`, `dump` | the commands that ask the daemon |
//! | `groups`, `groupctl`, `legacy` | groups of o2cpgd and of legacy clients; groupd's socket |
//! | `local`, `stack` | what can be said and done without it |
//! | `replay`, `generate` | the commands that ask nobody |
//!
//! Each answer is printed as text, or with `-o json` as the structure of `control.proto` with its schema.

pub mod args;
mod asking;
pub mod client;
mod dump;
pub mod duration;
pub mod exit;
mod follow;
mod forget;
mod generate;
mod groupctl;
mod groups;
mod legacy;
mod local;
pub mod output;
pub mod render;
mod replay;
mod stack;
pub mod table;
pub mod text;
pub mod volumes;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use proto::control::{Ask, api};

use self::args::{Args, Command, Config, Cpg, Global, Log, Stack};
use self::client::{Answered, Client};
use self::exit::{Exit, Failure};
use self::output::Output;

/// Deadline of a command that gives none.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same for `wait`, which is there to take time.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for each part of a `dump`, which moves megabytes.
const DUMP_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    let session = Session { output: Output::new(&args.global), global: args.global };
    let code = session.run(args.command.unwrap_or(Command::Status { check: false })).unwrap_or_else(|failure| {
        session.output.failure(&failure);
        failure.exit.code()
    });
    ExitCode::from(code)
}

/// One run of the command: its options and where its words go.
struct Session {
    global: Global,
    output: Output,
}

impl Session {
    /// The exit code, or why there is no answer.
    fn run(&self, command: Command) -> Result<u8, Failure> {
        let exit = match command {
            Command::Status { check } => return self.status(check),
            Command::Nodes => self.nodes()?,
            Command::Groups(asked) => self.groups(&asked)?,
            Command::Groupctl(asked) => self.groupctl(&asked)?,
            Command::Mounts => self.mounts()?,
            Command::Regions => self.regions()?,
            Command::Plan => self.plan()?,
            Command::Events(events) => self.events(&events)?,
            Command::Watch { interval } => self.watch(interval)?,
            Command::Wait { condition, node } => self.wait(condition, node)?,
            Command::CanStop => self.can_stop()?,
            Command::Pin(pin) => self.done(Ask::Pin { text: pin.text, node: pin.node })?,
            Command::Unpin(pin) => self.done(Ask::Unpin { text: pin.text, node: pin.node })?,
            Command::AckDead { node, yes_i_am_sure } => self.ack_dead(node, yes_i_am_sure)?,
            Command::Forget { node, yes_i_am_sure } => self.forget(node, yes_i_am_sure)?,
            Command::Stack(Stack::Show) => self.stack_show()?,
            Command::Stack(Stack::Set { label }) => self.stack_set(&label)?,
            Command::Stack(Stack::Offline) => self.stack_offline()?,
            Command::Log(Log::Get) => self.log(None)?,
            Command::Log(Log::Set { directives, for_time }) => self.log(Some((directives, for_time)))?,
            Command::Config(Config::Show) => self.config()?,
            Command::Dump { output } => self.dump(output)?,
            Command::Replay { file, until } => self.replay(&file, until)?,
            Command::Cpg(Cpg::List(options)) => self.cpg_list(&options)?,
            Command::Completions { shell } => self.completions(shell)?,
            Command::Man { dir } => self.man(&dir)?,
        };
        Ok(exit.code())
    }

    fn within(&self, default: Duration) -> Duration {
        self.global.timeout.unwrap_or(default)
    }

    fn connect(&self, within: Duration) -> Result<Client, Failure> {
        if self.global.local {
            let what = "--local works with status, nodes, mounts, regions, plan and cpg list only";
            return Err(Failure::usage(what, "leave it out, or see o2cpg --help"));
        }
        Client::connect(&self.global.socket, within)
    }

    fn ask<T: Answered>(&self, ask: Ask) -> Result<T, Failure> {
        self.connect(self.within(TIMEOUT))?.ask(ask)
    }

    /// Asks what is answered by a sentence.
    fn done(&self, ask: Ask) -> Result<Exit, Failure> {
        let done: api::Done = self.ask(ask)?;
        self.tell_done(&done)
    }

    fn tell_done(&self, done: &api::Done) -> Result<Exit, Failure> {
        self.output.tagged("o2cpg.done/1", done, |_| text::escaped(&done.text) + "\n")?;
        Ok(Exit::Ok)
    }
}
