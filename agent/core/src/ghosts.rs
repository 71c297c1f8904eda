//! Members that corosync lists and that are gone: how they are known is told in [`crate::view`].

use crate::agent::Agent;
use crate::effect::Effects;
use crate::ids::Member;
use crate::notice::Notice;
use proto::peer::ViewTag;
use std::collections::BTreeSet;

impl Agent {
    /// What a message calls the view may show who is a ghost. Then the view is another one, for all who listed it, from this
    /// message on; the others had it before.
    pub(crate) fn find_ghosts(&mut self, from: Member, tag: &ViewTag, fx: &mut Effects) {
        self.view.hear(from, tag);
        let known = self.view.ghosts();
        if self.view.compare(from, tag) {
            self.tell_ghosts(self.view.ghosts().difference(&known).copied().collect(), fx);
            self.new_view();
            // Others may have known before, or come to know later.
            self.exchange.begins = true;
        }
    }

    pub(crate) fn tell_ghosts(&mut self, members: BTreeSet<Member>, fx: &mut Effects) {
        if !members.is_empty() {
            self.counters.ghosts += members.len() as u64;
            fx.notice(Notice::Ghosts { members });
        }
    }
}
