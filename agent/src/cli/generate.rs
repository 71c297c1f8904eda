//! What packages and shells want: completions and manual pages, made from the command line's own definition.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Session;
use super::args::Args;
use super::exit::{Exit, Failure};

/// Administration commands.
const SECTION: &str = "8";

impl Session {
    pub(super) fn completions(&self, shell: Shell) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "o2cpg", &mut script);
        self.output.raw(&script)?;
        Ok(Exit::Ok)
    }

    pub(super) fn man(&self, dir: &Path) -> Result<Exit, Failure> {
        let mut command = Args::command();
        command.build();
        let written = fs::create_dir_all(dir).and_then(|()| pages(dir, &command));
        written.map_err(|error| {
            Failure::of(format!("writing manual pages to {}", dir.display()), &error, "choose another directory")
        })?;
        Ok(Exit::Ok)
    }
}

/// One page for the command, and one for each below it: `o2cpg.8`, `o2cpg-log-set.8`.
fn pages(dir: &Path, command: &Command) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    Man::new(command.clone()).section(SECTION).manual("o2cpg").render(&mut page)?;
    fs::write(dir.join(format!("{name}.{SECTION}")), page)?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| pages(dir, below))
}
