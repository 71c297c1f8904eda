//! `o2cpg forget`: shows what it is about, and has the name typed.

use std::io::{self, BufRead, IsTerminal};

use proto::control::{Ask, api};

use super::exit::{Exit, Failure};
use super::{Session, TIMEOUT, render};

impl Session {
    pub(super) fn forget(&self, node: String, sure: Option<String>) -> Result<Exit, Failure> {
        match sure {
            Some(word) => confirmed(&node, &word, Exit::Usage)?,
            None if io::stdin().is_terminal() => confirmed(&node, &self.typed(&node)?, Exit::Refused)?,
            None => {
                let fix = format!("o2cpg forget {node} --yes-i-am-sure={node}");
                return Err(Failure::usage(format!("forgetting {node} has to be confirmed"), fix));
            }
        }
        self.done(Ask::Forget { node })
    }

    fn typed(&self, node: &str) -> Result<String, Failure> {
        let status: api::Status = self.connect(self.within(TIMEOUT))?.ask(Ask::Status)?;
        let known = status.nodes.iter().find(|known| known.name == node || known.nodeid.to_string() == node);
        let about = known.map_or_else(
            || format!("{node} is not known here.\n"),
            |known| render::node_removal(known, self.output.width),
        );
        self.output.prompt(&format!("{about}Type {node} to go on: "));
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        read.map_err(|error| Failure::of("reading the answer", &error, ""))?;
        Ok(line.trim().to_owned())
    }
}

fn confirmed(node: &str, word: &str, otherwise: Exit) -> Result<(), Failure> {
    if node == word {
        return Ok(());
    }
    let what = format!("{node} was not confirmed: {word:?} is another word");
    Err(Failure::new(otherwise, what, "nothing was done", format!("o2cpg forget {node} --yes-i-am-sure={node}")))
}
