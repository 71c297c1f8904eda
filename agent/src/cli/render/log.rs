//! What the daemon logs.

use proto::control::api::Log;

use crate::cli::duration::spoken;
use crate::cli::text::{HEAD, labelled};

/// `o2cpg log get` and `set`.
#[must_use]
pub fn log(log: &Log, width: usize) -> String {
    let mut out = String::new();
    labelled(&mut out, 0, "logged      ", HEAD, &log.directives, width);
    if log.directives != log.configured {
        labelled(&mut out, 0, "configured  ", HEAD, &log.configured, width);
        let until = match log.back_in_s {
            0 => "until it is changed again or the daemon restarts".into(),
            seconds => format!("for another {}", spoken(u64::from(seconds) * 1000)),
        };
        labelled(&mut out, 0, "stays       ", HEAD, &until, width);
    }
    out
}
