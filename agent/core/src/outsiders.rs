//! Nodes that use volumes, whose kernels hear of deaths from o2cpgd alone, and whose agent is here and not in: its state
//! file cannot be read, or it lost it (docs/decisions/0009). It is not asked before somebody is let in again, and may not know
//! any more which boot of that node its kernel has still to hear of. So until it is in, or off, nobody is let in who may have died
//! before, nobody mounts what it uses, and the others go on telling who died. Nobody ends it for that: it is there, and says why
//! it is out.

use crate::agent::Agent;
use crate::ids::{Member, NodeId};
use crate::table::{Agreed, Standing};
use crate::wait::Wait;
use proto::peer::{Absent, VolumeId};

impl Agreed {
    /// Such a node names itself among those whose agent is missed, which means nothing once it is in.
    pub fn outsiders(&self) -> impl Iterator<Item = (&Member, &Standing)> + '_ {
        let is_out = |member: &Member| !self.each_established().any(|other| other.nodeid == member.nodeid);
        self.standing.iter().filter(move |(member, _)| {
            let hello = &self.hellos[member];
            let names_itself = hello.absent.iter().any(|it| it.nodeid == member.nodeid);
            hello.live.is_live() && names_itself && is_out(member) && !self.is_second(member)
        })
    }

    /// Whoever uses volumes itself has not died since it was in.
    pub(crate) fn waits_for_outsiders(&self, joiner: Member) -> bool {
        self.outsiders().next().is_some() && !self.outsiders().any(|(outsider, _)| *outsider == joiner)
    }

    pub(crate) fn outsider_waits(&self) -> impl Iterator<Item = Wait> + '_ {
        self.outsiders().filter_map(|(member, standing)| match standing {
            Standing::Refused(refusal) => {
                Some(Wait::Outsider { node: NodeId(member.nodeid), why: refusal.to_string() })
            }
            Standing::Established | Standing::Joining => None,
        })
    }
}

impl Agent {
    /// Whose agent is missed; and we, if nobody but us tells our kernel of deaths.
    pub(crate) fn missed(&self, me: Member) -> Vec<Absent> {
        let own = self.kernel.stack.needs_control().then(|| Absent { nodeid: me.nodeid, live: self.live() });
        let others = self.told_absent();
        others.into_iter().map(|(node, live)| Absent { nodeid: node.0, live }).chain(own).collect()
    }

    /// Whether there is a kernel that may have to hear of a death later. Between two views that is not known.
    pub(crate) fn deaths_are_missed(&self) -> bool {
        let is_outside = |agreed: &Agreed| agreed.outsiders().next().is_some();
        self.absent.values().any(|live| live.is_live()) || self.agreed.as_ref().is_none_or(is_outside)
    }

    pub(crate) fn shares_with_outsider(&self, volume: VolumeId) -> bool {
        let mut outsiders = self.agreed.iter().flat_map(Agreed::outsiders);
        let uses = |node: u32| self.uses.get(&NodeId(node)).is_some_and(|volumes| volumes.contains(&volume));
        self.kernel.stack.needs_control() && outsiders.any(|(member, _)| uses(member.nodeid))
    }
}
