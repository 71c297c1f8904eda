//! Which handle of the machine is which membership of the glue.
//!
//! The machine never uses a [`CpgId`] twice; the glue knows a membership by its name only. A group that is left and
//! joined again has two ids with one name for a while: the second is not begun before the first has ended, so whatever
//! the glue reports under that name belongs to the first of the line.

use cpg_glue::GroupName;
use groupd_compat::ids::CpgId;
use std::collections::{BTreeMap, VecDeque};

/// The control CPG's name: what the machine wants to be told last.
pub(super) const CONTROL: &[u8] = b"groupd\0";

/// Memberships by name, in the order they were asked for.
#[derive(Debug, Default)]
pub(super) struct Cpgs {
    lines: BTreeMap<GroupName, VecDeque<Membership>>,
    names: BTreeMap<CpgId, GroupName>,
    /// Names whose first membership is to be left once all is sent.
    leaving: Vec<GroupName>,
}

#[derive(Debug)]
struct Membership {
    id: CpgId,
    /// The glue was told to leave; nothing can be sent any more.
    left: bool,
    /// The machine wants to hear nothing more of it.
    closed: bool,
}

impl Cpgs {
    /// A new membership. True if it is to be begun at once; else [`Cpgs::ended`] says when.
    pub(super) fn join(&mut self, id: CpgId, name: &GroupName) -> bool {
        let line = self.lines.entry(name.clone()).or_default();
        line.push_back(Membership { id, left: false, closed: false });
        self.names.insert(id, name.clone());
        line.len() == 1
    }

    /// To be left as soon as all is sent: what waits in the glue's queue is dropped with a leave.
    pub(super) fn leave(&mut self, id: CpgId) {
        let Some(name) = self.names.get(&id) else { return };
        if self.first(name).is_some_and(|first| first.id == id) {
            self.leaving.push(name.clone());
        }
    }

    /// Names to leave now, of those with nothing left to send.
    pub(super) fn due(&mut self, is_sent: impl Fn(&GroupName) -> bool) -> Vec<GroupName> {
        if self.leaving.is_empty() {
            return Vec::new();
        }
        let (due, later) = std::mem::take(&mut self.leaving).into_iter().partition(|name| is_sent(name));
        self.leaving = later;
        let due: Vec<GroupName> = due;
        for name in &due {
            if let Some(first) = self.lines.get_mut(name).and_then(VecDeque::front_mut) {
                first.left = true;
            }
        }
        due
    }

    /// Nothing of it is wanted any more. One that was never begun is forgotten.
    pub(super) fn close(&mut self, id: CpgId) {
        let Some(name) = self.names.remove(&id) else { return };
        let Some(line) = self.lines.get_mut(&name) else { return };
        match line.iter().position(|membership| membership.id == id) {
            Some(0) => line[0].closed = true,
            Some(at) => _ = line.remove(at),
            None => {}
        }
    }

    /// The glue holds nothing more under this name. True if the next of the line is to be begun.
    pub(super) fn ended(&mut self, name: &GroupName) -> bool {
        let Some(line) = self.lines.get_mut(name) else { return false };
        if let Some(over) = line.pop_front() {
            self.names.remove(&over.id);
        }
        self.leaving.retain(|leaving| leaving != name);
        let next = !line.is_empty();
        if !next {
            self.lines.remove(name);
        }
        next
    }

    /// Whose events come under this name.
    pub(super) fn owner(&self, name: &GroupName) -> Option<CpgId> {
        self.first(name).filter(|first| !first.closed).map(|first| first.id)
    }

    /// Under which name to send for it.
    pub(super) fn name(&self, id: CpgId) -> Option<&GroupName> {
        let name = self.names.get(&id)?;
        self.first(name).filter(|first| first.id == id && !first.left).map(|_| name)
    }

    fn first(&self, name: &GroupName) -> Option<&Membership> {
        self.lines.get(name).and_then(VecDeque::front)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groupd_compat::names::CpgName;

    const ONE: CpgId = CpgId(1);
    const TWO: CpgId = CpgId(2);

    fn name() -> GroupName {
        GroupName::foreign(b"1_a\0").unwrap()
    }

    #[test]
    fn the_control_cpg_has_the_name_that_the_machine_joins() {
        assert_eq!(CpgName::control().as_bytes(), CONTROL);
    }

    #[test]
    fn a_leave_waits_until_all_is_sent() {
        let mut cpgs = Cpgs::default();
        assert!(cpgs.join(ONE, &name()));
        cpgs.leave(ONE);
        assert!(cpgs.due(|_| false).is_empty());
        assert_eq!(cpgs.name(ONE), Some(&name()));
        assert_eq!(cpgs.due(|_| true), [name()]);
        assert_eq!(cpgs.name(ONE), None);
        assert_eq!(cpgs.owner(&name()), Some(ONE));
        assert!(!cpgs.ended(&name()));
        assert_eq!(cpgs.owner(&name()), None);
    }

    #[test]
    fn a_second_membership_begins_when_the_first_has_ended() {
        let mut cpgs = Cpgs::default();
        cpgs.join(ONE, &name());
        cpgs.leave(ONE);
        cpgs.close(ONE);
        assert!(!cpgs.join(TWO, &name()));
        assert_eq!(cpgs.due(|_| true), [name()]);
        assert_eq!((cpgs.owner(&name()), cpgs.name(TWO)), (None, None));
        assert!(cpgs.ended(&name()));
        assert_eq!((cpgs.owner(&name()), cpgs.name(TWO)), (Some(TWO), Some(&name())));
    }

    #[test]
    fn what_was_never_begun_is_forgotten() {
        let mut cpgs = Cpgs::default();
        cpgs.join(ONE, &name());
        cpgs.leave(ONE);
        cpgs.join(TWO, &name());
        cpgs.leave(TWO);
        cpgs.close(TWO);
        assert_eq!(cpgs.due(|_| true), [name()]);
        assert!(!cpgs.ended(&name()));
    }
}
