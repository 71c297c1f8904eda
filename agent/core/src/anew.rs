//! The Hello that begins an exchange, for all at one place of the order (docs/decisions/0010).
//!
//! Mostly nobody needs it: a confchg begins an exchange, and so does a second Hello of somebody. But where corosync's lists
//! differ, members that are in one view by now have begun it at different places: one may have spoken before another
//! listened, and CPG says nothing twice. So who finds out by itself that the view is another one marks its Hello, and so does
//! who waits for Hellos as long as people would want to know of it. Whatever a member has heard before, after that Hello all
//! have heard the same.
//!
//! Nobody marks a Hello because of somebody's mark, so this comes to an end.

use crate::agent::Agent;
use proto::peer::Hello;

impl Agent {
    /// All who hear it are where they were when the view began, and owe a Hello, unless one is on its way.
    pub(crate) fn begin_anew(&mut self, hello: &Hello, mine: bool) {
        if !hello.begins {
            return;
        }
        let owed = self.exchange.owed || !mine && self.exchange.outstanding == 0;
        self.new_view();
        self.exchange.owed = owed;
    }

    /// We have spoken and heard ourselves, and others do not answer: perhaps they think that they have.
    pub(crate) fn ask_for_hellos_again(&mut self) {
        let has_spoken = self.member().is_some_and(|me| self.exchange.hellos.contains_key(&me));
        if has_spoken && self.agreed.is_none() && self.exchange.outstanding == 0 {
            (self.exchange.owed, self.exchange.begins) = (true, true);
        }
    }
}
