//! Bytes → validated values. What gets through here needs no second look: every field was present, in range, and
//! within [`limits`].

use std::{collections::BTreeSet, net::Ipv4Addr};

use prost::Message as _;

use super::{
    Absent, Answer, Body, DecodeError, Died, Entry, Fenced, Hello, Identity, Incarnation, Live, Member, Message,
    Outcome, Previous, Proposal, ProposalReason, RingId, Table, Version, ViewTag, VolumeId,
    fields::{bounded, list, optional, required, within},
    limits,
};
use crate::{
    error::{invalid, malformed},
    frame,
    generated::agent as wire,
    handshake::HANDSHAKE_LEN_MAX,
    version,
};

type Result<T> = std::result::Result<T, DecodeError>;

impl Message {
    /// Reads one message as it was delivered.
    ///
    /// Memory is bounded by the length of `bytes`, which itself is bounded: a length inside the message is
    /// believed only as far as bytes follow.
    ///
    /// # Errors
    /// Those of [`frame::open`]; [`DecodeError::Malformed`] if what follows is no `Envelope` or has no body known to
    /// this version; [`DecodeError::Invalid`] for the first field that breaks its rule.
    pub fn decode(bytes: &[u8]) -> Result<Message> {
        let envelope = frame::open(bytes)?;
        let envelope = wire::Envelope::decode(envelope).map_err(|error| malformed(error.to_string()))?;
        let no_body = || malformed(format!("no body known to version {}", version::CURRENT));
        Ok(Message { view: required("view", envelope.view, view)?, body: body(envelope.body.ok_or_else(no_body)?)? })
    }
}

fn body(body: wire::envelope::Body) -> Result<Body> {
    use wire::envelope::Body as Wire;
    Ok(match body {
        Wire::Hello(it) => Body::Hello(Box::new(within("hello", hello(it))?)),
        Wire::Answer(it) => Body::Answer(within("answer", answer(it))?),
        Wire::Proposal(it) => Body::Proposal(within("proposal", proposal(it))?),
        Wire::Live(it) => Body::Live(live(it)?),
        Wire::Probe(it) => Body::Probe(it.id),
        Wire::Goodbye(it) => Body::Goodbye(bounded("goodbye.why", it.why, limits::TEXT_LEN_MAX)?),
        Wire::Volumes(it) => Body::Volumes(within("volumes", volumes(it))?),
        Wire::Fenced(it) => {
            Body::Fenced(Fenced { nodeid: it.nodeid, by: bounded("fenced.by", it.by, limits::TEXT_LEN_MAX)? })
        }
    })
}

fn view(view: wire::View) -> Result<ViewTag> {
    let members = list("members", view.members, limits::MEMBERS_MAX, |it| {
        Ok((Member { nodeid: it.nodeid, pid: it.pid }, it.nonce))
    })?;
    match members.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        Some(pair) => Err(invalid("members", format!("{} before {}", pair[0].0, pair[1].0), "sorted, none twice")),
        None => Ok(ViewTag { ring: required("ring", view.ring, ring)?, members }),
    }
}

fn ring(ring: wire::RingId) -> Result<RingId> {
    Ok(RingId { nodeid: ring.nodeid, seq: ring.seq })
}

fn hello(hello: wire::Hello) -> Result<Hello> {
    Ok(Hello {
        incarnation: required("incarnation", hello.incarnation, incarnation)?,
        nonce: hello.nonce,
        handshake: bounded("handshake", hello.handshake, HANDSHAKE_LEN_MAX)?,
        identity: required("identity", hello.identity, identity)?,
        table: optional("table", hello.table, table)?,
        held: list("held", hello.held, limits::ENTRIES_MAX, entry)?,
        local: hello.local,
        quorate: hello.quorate,
        previous: optional("previous", hello.previous, previous)?,
        live: required("live", hello.live, live)?,
        absent: list("absent", hello.absent, limits::ABSENT_MAX, absent)?,
        release: bounded("release", hello.release, limits::RELEASE_LEN_MAX)?,
        incomplete: hello.incomplete,
        cut_off: hello.cut_off,
        volumes: optional("volumes", hello.volumes, volumes)?.unwrap_or_default(),
        unfenced: list("unfenced", hello.unfenced, limits::UNFENCED_MAX, Ok)?,
        died: list("died", hello.died, limits::DIED_MAX, died)?,
        begins: hello.begins,
    })
}

fn incarnation(incarnation: wire::Incarnation) -> Result<Incarnation> {
    Ok(Incarnation { boot_id: boot_id(incarnation.boot_id)?, started_ms: incarnation.started_ms })
}

fn died(died: wire::Died) -> Result<Died> {
    Ok(Died { nodeid: died.nodeid, boot_id: boot_id(died.boot_id)? })
}

fn boot_id(bytes: Vec<u8>) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|id: Vec<u8>| invalid("boot_id", format!("{} bytes", id.len()), "16 bytes"))
}

fn identity(identity: wire::hello::Identity) -> Result<Identity> {
    Ok(match identity {
        wire::hello::Identity::Entry(it) => Identity::Entry(entry(it)?),
        wire::hello::Identity::Unfit(why) => Identity::Unfit(bounded("unfit", why, limits::TEXT_LEN_MAX)?),
    })
}

fn entry(entry: wire::Entry) -> Result<Entry> {
    let entry = Entry {
        nodeid: entry.nodeid,
        number: number(entry.number)?,
        name: entry.name,
        address: Ipv4Addr::from_bits(entry.ipv4),
        port: u16::try_from(entry.port).map_err(|_| invalid("port", entry.port, PORT_RULE))?,
    };
    entry.check()?;
    Ok(entry)
}

const NUMBER_RULE: &str = "0 to 254";
const PORT_RULE: &str = "1 to 65534";
const NAME_RULE: &str = "1 to 64 bytes without / and NUL, and neither . nor ..";

fn number(number: u32) -> Result<u8> {
    match u8::try_from(number) {
        Ok(number) if number <= limits::NUMBER_MAX => Ok(number),
        _ => Err(invalid("number", number, NUMBER_RULE)),
    }
}

impl Entry {
    /// Would the kernel take it? The rules are those of the stores and of mkdir in its node directory.
    ///
    /// # Errors
    /// [`DecodeError::Invalid`] with the field, what it holds, and the rule. Encoding does not ask.
    ///
    /// Source: linux fs/ocfs2/cluster/nodemanager.c, o2nm_node_num_store, o2nm_node_ipv4_port_store,
    /// o2nm_node_group_make_item.
    pub fn check(&self) -> Result<()> {
        number(self.number.into())?;
        let length_ok = (1..=limits::NAME_LEN_MAX).contains(&self.name.len());
        if !length_ok || self.name.contains(['/', '\0']) || matches!(self.name.as_str(), "." | "..") {
            return Err(invalid("name", format!("{:?}", self.name), NAME_RULE));
        }
        if !(1..=limits::PORT_MAX).contains(&self.port) {
            return Err(invalid("port", self.port, PORT_RULE));
        }
        Ok(())
    }
}

/// A table is refused unless a kernel could hold all of it at once: one name, one address, one number each.
fn table(table: wire::Table) -> Result<Table> {
    let version =
        required("version", table.version, |it| Ok(Version { step: it.step, ring: required("ring", it.ring, ring)? }))?;
    let entries = list("entries", table.entries, limits::ENTRIES_MAX, entry)?;
    unique("number", &entries, |entry| entry.number)?;
    unique("name", &entries, |entry| &entry.name)?;
    unique("address", &entries, |entry| entry.address)?;
    Ok(Table { version, entries: entries.into_iter().map(|entry| (entry.number, entry)).collect() })
}

fn unique<'a, K: Ord + ToString>(field: &str, entries: &'a [Entry], key: impl Fn(&'a Entry) -> K) -> Result<()> {
    let mut seen = BTreeSet::new();
    match entries.iter().find(|entry| !seen.insert(key(entry))) {
        Some(twice) => Err(invalid(format!("entries.{field}"), key(twice), "different in each entry")),
        None => Ok(()),
    }
}

fn previous(previous: wire::Previous) -> Result<Previous> {
    Ok(Previous { ring: required("ring", previous.ring, ring)?, quorate: previous.quorate })
}

fn live(live: wire::Live) -> Result<Live> {
    Ok(Live { mounts: live.mounts, regions: live.regions })
}

fn volumes(volumes: wire::Volumes) -> Result<BTreeSet<VolumeId>> {
    let ids = list("ids", volumes.ids, limits::VOLUMES_MAX, |id| {
        let id = <[u8; 16]>::try_from(id).map_err(|id| invalid("", format!("{} bytes", id.len()), "16 bytes"))?;
        Ok(VolumeId(id))
    })?;
    match ids.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(invalid("ids", format!("{} before {}", pair[0], pair[1]), "ascending, none twice")),
        None => Ok(ids.into_iter().collect()),
    }
}

fn absent(absent: wire::Absent) -> Result<Absent> {
    Ok(Absent { nodeid: absent.nodeid, live: required("live", absent.live, live)? })
}

fn answer(answer: wire::Answer) -> Result<Answer> {
    if answer.round == 0 {
        return Err(invalid("round", 0, "counted from 1"));
    }
    Ok(Answer { round: answer.round, outcome: required("outcome", answer.outcome, outcome)? })
}

fn outcome(outcome: wire::answer::Outcome) -> Result<Outcome> {
    use wire::answer::Outcome as Wire;
    Ok(match outcome {
        Wire::Done(wire::Done {}) => Outcome::Done,
        Wire::Failed(it) => Outcome::Failed {
            errno: errno(it.errno)?,
            path: bounded("path", it.path, limits::PATH_LEN_MAX)?,
            what: bounded("what", it.what, limits::TEXT_LEN_MAX)?,
        },
        Wire::Held(it) => {
            Outcome::Held(list("pins", it.pins, limits::PINS_MAX, |pin| bounded("", pin, limits::PIN_LEN_MAX))?)
        }
    })
}

/// 0 stands for a failure that had no errno.
fn errno(errno: u32) -> Result<i32> {
    match i32::try_from(errno) {
        Ok(number) if errno <= limits::ERRNO_MAX => Ok(number),
        _ => Err(invalid("errno", errno, format!("0 to {}", limits::ERRNO_MAX))),
    }
}

fn proposal(proposal: wire::Proposal) -> Result<Proposal> {
    let reason = match proposal.reason() {
        wire::proposal::Reason::Unconfigured => ProposalReason::Unconfigured,
        wire::proposal::Reason::Gone => ProposalReason::Gone,
        wire::proposal::Reason::Operator => ProposalReason::Operator,
        wire::proposal::Reason::Unspecified => {
            return Err(invalid("reason", proposal.reason, "1 to 3"));
        }
    };
    Ok(Proposal { number: number(proposal.number)?, reason })
}
