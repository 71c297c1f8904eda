//! Facts that two agents compare before they share anything.
//!
//! Each side sends a list of blocks, produced by the providers of [`REGISTRY`]; the receiver produces its own and
//! compares. One block is `magic u16 | length u16 | data`, little endian, without padding; blocks are sorted by
//! magic and none comes twice, so equal facts give equal bytes. Protobuf is not canonical and is not used inside.
//!
//! * A must-match block is compared byte for byte. One mismatch and the joiner is refused, with the name of the
//!   block and both values: the kernel itself would let a mount hang for a minute instead.
//! * A negotiated block yields what both sides can do.
//! * A shown block is for `status` and dumps only. So is a block without a provider here: it came from a newer
//!   agent, is kept by its magic, and skipped by its length.

mod registry;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

pub use self::registry::{Facts, Forget, Provider, REGISTRY, Rule};
use crate::{error::malformed, peer::DecodeError};

/// Longest handshake in bytes. The registry's own need less than 700 with the longest names.
pub const HANDSHAKE_LEN_MAX: usize = 4096;
/// Most blocks in one handshake: several times what the registry has.
pub const BLOCKS_MAX: usize = 64;
/// `magic` and `length` of a block, in bytes.
const BLOCK_HEADER_LEN: usize = 4;

/// The blocks of one side, by magic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks(BTreeMap<u16, Vec<u8>>);

impl Blocks {
    /// What this side says about itself.
    pub fn produce(facts: &Facts) -> Blocks {
        let block = |provider: &Provider| {
            let data = (provider.produce)(facts);
            (!provider.optional || !data.is_empty()).then_some((provider.magic, data))
        };
        Blocks(REGISTRY.iter().filter_map(block).collect())
    }

    /// Reads the blocks of the other side.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] if there are too many bytes or blocks, a block ends beyond the bytes, or the
    /// magics do not ascend.
    pub fn parse(bytes: &[u8]) -> Result<Blocks, DecodeError> {
        if bytes.len() > HANDSHAKE_LEN_MAX {
            return Err(malformed(format!("handshake of {} bytes, at most {HANDSHAKE_LEN_MAX}", bytes.len())));
        }
        let mut blocks = BTreeMap::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (magic, data, after) = split_block(rest)?;
            if let Some((last, _)) = blocks.last_key_value().filter(|(last, _)| **last >= magic) {
                return Err(malformed(format!("handshake block {magic:#06x} after {last:#06x}, must ascend")));
            }
            if blocks.len() == BLOCKS_MAX {
                return Err(malformed(format!("handshake of more than {BLOCKS_MAX} blocks")));
            }
            blocks.insert(magic, data.to_vec());
            rest = after;
        }
        Ok(Blocks(blocks))
    }

    /// The blocks as they are sent in a Hello; what was produced or parsed always parses again.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (magic, data) in &self.0 {
            let len = u16::try_from(data.len()).expect("produced and parsed blocks are shorter than HANDSHAKE_LEN_MAX");
            bytes.extend(magic.to_le_bytes());
            bytes.extend(len.to_le_bytes());
            bytes.extend(data);
        }
        bytes
    }

    /// The data of one block.
    pub fn block(&self, magic: u16) -> Option<&[u8]> {
        self.0.get(&magic).map(Vec::as_slice)
    }

    /// Highest locking protocol of this side's kernel, if it said one.
    pub fn locking(&self) -> Option<(u8, u8)> {
        match self.block(registry::LOCKING.magic)? {
            [major, minor] => Some((*major, *minor)),
            _ => None,
        }
    }

    /// Every block for people: name and value, those without a provider by magic and length.
    pub fn rendered(&self) -> Vec<(String, String)> {
        let rendered = self.0.iter().map(|(magic, data)| match registry::provider(*magic) {
            Some(provider) => (provider.name.to_owned(), (provider.render)(data)),
            None => (format!("{magic:#06x}"), format!("{} bytes", data.len())),
        });
        rendered.collect()
    }
}

/// First block: magic, data, and the bytes after it.
fn split_block(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), DecodeError> {
    let ([m0, m1, l0, l1], rest) = bytes
        .split_first_chunk::<BLOCK_HEADER_LEN>()
        .ok_or_else(|| malformed(format!("handshake ends {} bytes into a block", bytes.len())))?;
    let magic = u16::from_le_bytes([*m0, *m1]);
    let len = usize::from(u16::from_le_bytes([*l0, *l1]));
    let cut_off = || malformed(format!("handshake block {magic:#06x} has {} of its {len} bytes", rest.len()));
    let (data, after) = rest.split_at_checked(len).ok_or_else(cut_off)?;
    Ok((magic, data, after))
}

/// One block on which two sides differ and may not. Shown as `dead threshold: ours 31, theirs 61`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Name of the block.
    pub block: String,
    /// Our value for people; `not sent` if we have none.
    pub ours: String,
    /// Their value for people; `not sent` if they have none.
    pub theirs: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ours {}, theirs {}", self.block, self.ours, self.theirs)
    }
}

/// What all sides can do.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// Version of the protocol to be used.
    pub version: u16,
    /// Feature bits that every side has.
    pub features: u64,
}

/// Every reason why these two may not share a table; empty if they may. Swapping the sides swaps only `ours` and
/// `theirs`, so both come to the same verdict.
///
/// Without a common protocol version that is the only reason given: another version's blocks may mean anything.
pub fn compare(ours: &Blocks, theirs: &Blocks) -> Vec<Mismatch> {
    let agreed = match negotiate(ours, [theirs]) {
        Ok(agreed) => agreed,
        Err(mismatch) => return vec![mismatch],
    };
    let must_match = REGISTRY.iter().filter(|it| it.rule == Rule::MustMatch && it.since <= agreed.version);
    let differing = must_match.filter(|it| ours.block(it.magic) != theirs.block(it.magic));
    differing.map(|it| mismatch(it, ours, theirs)).collect()
}

/// What people should know to differ, although nobody is refused for it.
pub fn differing(ours: &Blocks, theirs: &Blocks) -> Vec<Mismatch> {
    let both = |it: &&Provider| ours.block(it.magic).is_some() && theirs.block(it.magic).is_some();
    let shown = REGISTRY.iter().filter(|it| it.rule == Rule::Shown).filter(both);
    let differing = shown.filter(|it| ours.block(it.magic) != theirs.block(it.magic));
    differing.map(|it| mismatch(it, ours, theirs)).collect()
}

/// What we and all the others can do: the lowest of the newest versions, the features that everybody has.
///
/// # Errors
/// The first side whose protocol versions do not overlap with those of the sides before it; `ours` is then what
/// those have in common.
pub fn negotiate<'a>(ours: &Blocks, others: impl IntoIterator<Item = &'a Blocks>) -> Result<Agreed, Mismatch> {
    let mut common = versions(ours);
    let mut features = features(ours);
    for theirs in others {
        let overlap = common.zip(versions(theirs)).and_then(|(a, b)| overlap(a, b));
        if overlap.is_none() {
            return Err(no_overlap(common, ours, theirs));
        }
        common = overlap;
        features &= self::features(theirs);
    }
    let (_, version) = common.ok_or_else(|| no_overlap(common, ours, ours))?;
    Ok(Agreed { version, features })
}

/// What two ranges of versions share.
fn overlap((a_min, a_newest): (u16, u16), (b_min, b_newest): (u16, u16)) -> Option<(u16, u16)> {
    let (min, newest) = (a_min.max(b_min), a_newest.min(b_newest));
    (min <= newest).then_some((min, newest))
}

fn no_overlap(common: Option<(u16, u16)>, ours: &Blocks, theirs: &Blocks) -> Mismatch {
    let whole = mismatch(&registry::PROTOCOL, ours, theirs);
    Mismatch { ours: common.map_or(whole.ours, registry::versions_text), ..whole }
}

/// Oldest and newest version that a side speaks.
fn versions(blocks: &Blocks) -> Option<(u16, u16)> {
    registry::parse_versions(blocks.block(registry::PROTOCOL.magic)?)
}

/// A side that sends no readable feature bits has none.
fn features(blocks: &Blocks) -> u64 {
    let data = blocks.block(registry::FEATURES.magic).unwrap_or_default();
    data.try_into().map_or(0, u64::from_le_bytes)
}

fn mismatch(provider: &Provider, ours: &Blocks, theirs: &Blocks) -> Mismatch {
    let value = |side: &Blocks| side.block(provider.magic).map_or("not sent".into(), provider.render);
    Mismatch { block: provider.name.to_owned(), ours: value(ours), theirs: value(theirs) }
}

#[cfg(test)]
#[path = "handshake/tests.rs"]
mod tests;
