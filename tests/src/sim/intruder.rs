//! A process in our group that is not an agent of ours.

use super::corosync::Seen;
use super::rng::Rng;
use agent_core::ids::{Member, RingId};
use proto::peer::{Body, Live, Message, ViewTag};
use std::collections::BTreeSet;

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Says nothing.
    Silent,
    /// Sends bytes that are no messages.
    Garbage,
    /// Sends what others sent again, cut or with a bit changed, unless it still is a message: who lies well is out of
    /// scope.
    Bent,
    /// A second agent on its node: says Hello in each view, as the first one there does.
    SecondAgent,
    /// The same with a kernel of its own, a modelled one, in which nothing is mounted.
    Model,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Intruder {
    member: Member,
    manner: Manner,
    members: Vec<Member>,
    ring: Option<(RingId, BTreeSet<u32>)>,
    /// Two of them would answer each other without end if each remembered the last only.
    said_in: Vec<ViewTag>,
}

/// A nonce that no agent draws: theirs are odd.
const NONCE: u64 = 0x5ec0_0ada_6e00_0000;

impl Intruder {
    /// One that has just asked to join.
    #[must_use]
    pub fn new(member: Member, manner: Manner) -> Self {
        Intruder { member, manner, members: vec![], ring: None, said_in: vec![] }
    }

    /// What it sends when it is called back.
    pub fn sees(&mut self, seen: &Seen, rng: &mut Rng) -> Vec<Vec<u8>> {
        match seen {
            Seen::Confchg { members, .. } => self.members.clone_from(members),
            Seen::Totem { ring, nodes } => self.ring = Some((*ring, nodes.iter().copied().collect())),
            Seen::Deliver { from, bytes, .. } => return self.hears(*from, bytes, rng),
            Seen::Nodelist { .. } | Seen::Quorum { .. } | Seen::Lost => return vec![],
        }
        if self.manner == Manner::Garbage { vec![garbage(rng)] } else { vec![] }
    }

    fn hears(&mut self, from: Member, bytes: &[u8], rng: &mut Rng) -> Vec<Vec<u8>> {
        match self.manner {
            Manner::Silent | Manner::Garbage => vec![],
            Manner::Bent if from == self.member || Message::decode(bytes).is_err() => vec![],
            Manner::Bent => [bent(bytes, rng)].into_iter().filter(|bytes| Message::decode(bytes).is_err()).collect(),
            Manner::SecondAgent | Manner::Model => self.mimic(from, bytes).into_iter().collect(),
        }
    }

    /// Says its node's Hello again as its own, once in each view.
    fn mimic(&mut self, from: Member, bytes: &[u8]) -> Option<Vec<u8>> {
        let Ok(Message { view, body: Body::Hello(mut hello) }) = Message::decode(bytes) else { return None };
        let of_node = from.nodeid == self.member.nodeid && from != self.member;
        if !of_node || self.said_in.contains(&view) || !view.members.iter().any(|(m, _)| *m == self.member) {
            return None;
        }
        hello.nonce = NONCE + u64::from(self.member.pid);
        if self.manner == Manner::Model {
            (hello.local, hello.live) = (false, Live::default());
            hello.held.clear();
            hello.volumes.clear();
            hello.absent.clear();
        }
        self.said_in.push(view.clone());
        Some(Message { view, body: Body::Hello(hello) }.encode())
    }
}

fn garbage(rng: &mut Rng) -> Vec<u8> {
    (0..rng.below(64)).map(|_| rng.bits() as u8).collect()
}

/// The same bytes with one of them changed, or cut.
fn bent(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bent = bytes.to_vec();
    let place = rng.below(bent.len() as u64) as usize;
    if rng.chance(50) {
        bent.truncate(place);
    } else if let Some(byte) = bent.get_mut(place) {
        *byte ^= 1 << rng.below(8);
    }
    bent
}
