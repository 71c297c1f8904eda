//! May the daemon stop?

use proto::control::api::CanStop;

use crate::cli::text::{BAD, FAINT, GOOD, counted, labelled, styled};

/// `o2cpg can-stop`.
#[must_use]
pub fn can_stop(answer: &CanStop, width: usize) -> String {
    if answer.yes {
        return format!("{}: nothing here needs o2cpgd\n", styled(GOOD, "yes"));
    }
    let verb = if answer.pins.len() == 1 { "keeps" } else { "keep" };
    let mut out = format!("{}: {} {verb} o2cpgd here\n", styled(BAD, "no"), counted(answer.pins.len(), "pin"));
    for pin in &answer.pins {
        labelled(&mut out, 2, "", FAINT, &pin.text, width);
    }
    labelled(&mut out, 0, "fix   ", FAINT, &answer.advice, width);
    let note = "stopping corosync would cut this node off from volumes that it goes on using; systemctl stop corosync \
                uses --force on many distributions and does not ask o2cpgd";
    if answer.pins.iter().any(|pin| matches!(pin.kind.as_str(), "mounted" | "region")) {
        labelled(&mut out, 0, "note  ", FAINT, note, width);
    }
    out
}
