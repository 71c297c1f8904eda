//! Validated values → bytes. Total: texts for people are cut to their limit, everything else is the caller's word.

use std::collections::BTreeSet;

use prost::Message as _;

use super::{
    Absent, Answer, Body, Died, Entry, Hello, Identity, Live, Message, Outcome, Proposal, ProposalReason, RingId,
    Table, ViewTag, VolumeId, limits,
};
use crate::{frame, generated::agent as wire, version};

impl Message {
    /// The message as it is multicast: preamble, then an `Envelope`.
    ///
    /// Stamped with [`version::MIN`]: every body there is can be read by every agent this one works with. Texts
    /// for people that are longer than [`limits`] allow are cut; the rest is sent as it is, and what breaks a rule
    /// is refused by each receiver, the sender included.
    pub fn encode(&self) -> Vec<u8> {
        let envelope = wire::Envelope { view: Some(view(&self.view)), body: Some(body(&self.body)) };
        let mut bytes = Vec::with_capacity(frame::PREAMBLE_LEN + envelope.encoded_len());
        bytes.extend(frame::preamble(version::MIN));
        bytes.extend(envelope.encode_to_vec());
        bytes
    }
}

fn view(view: &ViewTag) -> wire::View {
    let members = view.members.iter();
    let members = members.map(|(member, nonce)| wire::Member { nodeid: member.nodeid, pid: member.pid, nonce: *nonce });
    wire::View { ring: Some(ring(view.ring)), members: members.collect() }
}

fn ring(ring: RingId) -> wire::RingId {
    wire::RingId { nodeid: ring.nodeid, seq: ring.seq }
}

fn body(body: &Body) -> wire::envelope::Body {
    use wire::envelope::Body as Wire;
    match body {
        Body::Hello(it) => Wire::Hello(hello(it)),
        Body::Answer(it) => Wire::Answer(answer(it)),
        Body::Proposal(it) => Wire::Proposal(proposal(*it)),
        Body::Live(it) => Wire::Live(live(*it)),
        Body::Probe(id) => Wire::Probe(wire::Probe { id: *id }),
        Body::Goodbye(why) => Wire::Goodbye(wire::Goodbye { why: cut(why, limits::TEXT_LEN_MAX) }),
        Body::Volumes(ids) => Wire::Volumes(volumes(ids)),
        Body::Fenced(it) => Wire::Fenced(wire::Fenced { nodeid: it.nodeid, by: cut(&it.by, limits::TEXT_LEN_MAX) }),
    }
}

fn hello(hello: &Hello) -> wire::Hello {
    let boot_id = hello.incarnation.boot_id.to_vec();
    wire::Hello {
        incarnation: Some(wire::Incarnation { boot_id, started_ms: hello.incarnation.started_ms }),
        nonce: hello.nonce,
        handshake: hello.handshake.clone(),
        identity: Some(identity(&hello.identity)),
        table: hello.table.as_ref().map(table),
        held: hello.held.iter().map(entry).collect(),
        local: hello.local,
        quorate: hello.quorate,
        previous: hello
            .previous
            .map(|previous| wire::Previous { ring: Some(ring(previous.ring)), quorate: previous.quorate }),
        live: Some(live(hello.live)),
        absent: hello.absent.iter().copied().map(absent).collect(),
        release: cut(&hello.release, limits::RELEASE_LEN_MAX),
        incomplete: hello.incomplete,
        cut_off: hello.cut_off,
        volumes: (!hello.volumes.is_empty()).then(|| volumes(&hello.volumes)),
        unfenced: hello.unfenced.iter().copied().take(limits::UNFENCED_MAX).collect(),
        died: hello.died.iter().copied().take(limits::DIED_MAX).map(died).collect(),
        begins: hello.begins,
    }
}

fn died(died: Died) -> wire::Died {
    wire::Died { nodeid: died.nodeid, boot_id: died.boot_id.to_vec() }
}

fn identity(identity: &Identity) -> wire::hello::Identity {
    match identity {
        Identity::Entry(it) => wire::hello::Identity::Entry(entry(it)),
        Identity::Unfit(why) => wire::hello::Identity::Unfit(cut(why, limits::TEXT_LEN_MAX)),
    }
}

fn entry(entry: &Entry) -> wire::Entry {
    wire::Entry {
        nodeid: entry.nodeid,
        number: entry.number.into(),
        name: entry.name.clone(),
        ipv4: entry.address.to_bits(),
        port: entry.port.into(),
    }
}

fn table(table: &Table) -> wire::Table {
    wire::Table {
        version: Some(wire::Version { step: table.version.step, ring: Some(ring(table.version.ring)) }),
        entries: table.entries.values().map(entry).collect(),
    }
}

fn live(live: Live) -> wire::Live {
    wire::Live { mounts: live.mounts, regions: live.regions }
}

fn volumes(ids: &BTreeSet<VolumeId>) -> wire::Volumes {
    wire::Volumes { ids: ids.iter().map(|id| id.0.to_vec()).collect() }
}

fn absent(absent: Absent) -> wire::Absent {
    wire::Absent { nodeid: absent.nodeid, live: Some(live(absent.live)) }
}

fn answer(answer: &Answer) -> wire::Answer {
    use wire::answer::Outcome as Wire;
    let outcome = match &answer.outcome {
        Outcome::Done => Wire::Done(wire::Done {}),
        Outcome::Failed { errno, path, what } => Wire::Failed(wire::Failed {
            errno: u32::try_from(*errno).unwrap_or(0),
            path: cut(path, limits::PATH_LEN_MAX),
            what: cut(what, limits::TEXT_LEN_MAX),
        }),
        Outcome::Held(pins) => Wire::Held(wire::Held {
            pins: pins.iter().take(limits::PINS_MAX).map(|pin| cut(pin, limits::PIN_LEN_MAX)).collect(),
        }),
    };
    wire::Answer { round: answer.round, outcome: Some(outcome) }
}

fn proposal(proposal: Proposal) -> wire::Proposal {
    let reason = match proposal.reason {
        ProposalReason::Unconfigured => wire::proposal::Reason::Unconfigured,
        ProposalReason::Gone => wire::proposal::Reason::Gone,
        ProposalReason::Operator => wire::proposal::Reason::Operator,
    };
    wire::Proposal { number: proposal.number.into(), reason: reason.into() }
}

/// At most `len_max` bytes of `text`, whole characters.
fn cut(text: &str, len_max: usize) -> String {
    let fits = |end: &usize| *end <= len_max;
    let end = text.char_indices().map(|(start, c)| start + c.len_utf8()).take_while(fits).last();
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_whole_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("ä", 1), "");
    }
}
