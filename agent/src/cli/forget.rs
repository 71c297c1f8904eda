//! `o2cpg forget` and `o2cpg ack-dead`: each shows what it is about, and has the name typed.

use std::io::{self, BufRead, IsTerminal};

use proto::control::{Ask, api};

use super::exit::{Exit, Failure};
use super::{Session, TIMEOUT, render};

impl Session {
    pub(super) fn forget(&self, node: String, sure: Option<String>) -> Result<Exit, Failure> {
        self.confirm("forget", &node, sure, |status, width| match known(status, &node) {
            Some(known) => render::node_removal(known, width),
            None => format!("{node} is not known here.\n"),
        })?;
        self.done(Ask::Forget { node })
    }

    pub(super) fn ack_dead(&self, node: String, sure: Option<String>) -> Result<Exit, Failure> {
        self.confirm("ack-dead", &node, sure, |status, _| {
            let seen = known(status, &node).map_or("unknown here", |node| node.corosync.as_str());
            format!(
                "{node} ({seen} to corosync) must be off, or cut off from the shared disk, before you go on: the others will\n\
                 take its part of the volumes over, and if it still writes, data is lost.\n"
            )
        })?;
        let by = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(|name| std::env::var(name).ok());
        self.done(Ask::AckDead { node, by: by.filter(|by| !by.is_empty()).unwrap_or_else(|| "a person".into()) })
    }

    /// The name of the node, given with the command or typed.
    fn confirm(
        &self,
        command: &str,
        node: &str,
        sure: Option<String>,
        about: impl Fn(&api::Status, usize) -> String,
    ) -> Result<(), Failure> {
        match sure {
            Some(word) => confirmed(command, node, &word, Exit::Usage),
            None if io::stdin().is_terminal() => {
                let status: api::Status = self.connect(self.within(TIMEOUT))?.ask(Ask::Status)?;
                let word = self.typed(node, &about(&status, self.output.width))?;
                confirmed(command, node, &word, Exit::Refused)
            }
            None => {
                let fix = format!("o2cpg {command} {node} --yes-i-am-sure={node}");
                Err(Failure::usage(format!("o2cpg {command} {node} has to be confirmed"), fix))
            }
        }
    }

    fn typed(&self, node: &str, about: &str) -> Result<String, Failure> {
        self.output.prompt(&format!("{about}Type {node} to go on: "));
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        read.map_err(|error| Failure::of("reading the answer", &error, ""))?;
        Ok(line.trim().to_owned())
    }
}

fn known<'a>(status: &'a api::Status, node: &str) -> Option<&'a api::Node> {
    status.nodes.iter().find(|known| known.name == node || known.nodeid.to_string() == node)
}

fn confirmed(command: &str, node: &str, word: &str, otherwise: Exit) -> Result<(), Failure> {
    if node == word {
        return Ok(());
    }
    let what = format!("{node} was not confirmed: {word:?} is another word");
    Err(Failure::new(otherwise, what, "nothing was done", format!("o2cpg {command} {node} --yes-i-am-sure={node}")))
}
