//! What the pipeline is given, as bytes and back.

use sensor_common::{
    counters::LossCause,
    kind::{Kind, Ring},
};
use serde::{Deserialize, Serialize};

use super::ITEM_BYTES_MAX;
use crate::{
    clock::Clock,
    kernel::counters::Loss,
    pipeline::Tick,
    state::{seed::Seeded, workload::Fact},
};

/// One item of a recording.
#[derive(Debug)]
pub enum Input<'a> {
    /// A record, from one of the rings.
    Record(Ring, &'a [u8]),
    /// How late it is; a batch of records follows.
    Now(u64),
    /// There was no record at this time.
    Idle(u64),
    /// A second has passed.
    Tick(Tick),
    /// Something that no record tells.
    Fact(Fact),
    /// A process that was there before.
    Seeded(Box<Seeded>),
    /// All processes that were there before have been told; the host's mount namespace.
    Planted(u32),
    /// Items are missing here.
    Lost(Lost),
    /// Nothing more came.
    End(End),
}

/// What could not be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Records.
    pub records: u64,
    /// Facts, ticks and other items.
    pub others: u64,
}

/// How a recording ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why: `stopped`, `duration` or `size`.
    pub why: String,
    /// Records that were written.
    pub records: u64,
    /// What could not be written, at any time.
    pub lost: Lost,
    /// What the kernel side counted.
    pub kinds: Vec<Counted>,
}

/// What the kernel side counted of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The kind's name.
    pub kind: String,
    /// Events that reached a probe.
    pub seen: u64,
    /// Written to a ring.
    pub sent: u64,
    /// Lost before they were in a ring.
    pub lost: u64,
}

/// What is wrong with the items of a chunk.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at} of its items: {what}")]
pub struct ItemFault {
    /// Where, within the chunk's items.
    pub at: usize,
    /// What.
    pub what: &'static str,
}

/// An item has more than [`ITEM_BYTES_MAX`] bytes.
#[derive(Debug, thiserror::Error)]
#[error("the item is too large")]
pub struct TooLarge;

/// Tags; a ring's records have its number.
const NOW: u8 = 16;
const IDLE: u8 = 17;
const TICK: u8 = 18;
const FACT: u8 = 19;
const SEEDED: u8 = 20;
const PLANTED: u8 = 21;
const LOST: u8 = 22;
const END: u8 = 23;

/// Cgroup, kind, cause, count.
const LOSS_BYTES: usize = 24;

/// Appends an item.
pub fn encode(input: &Input<'_>, to: &mut Vec<u8>) -> Result<(), TooLarge> {
    match input {
        Input::Record(ring, bytes) => put(to, *ring as u8, bytes),
        Input::Now(now_ns) => put(to, NOW, &now_ns.to_le_bytes()),
        Input::Idle(now_ns) => put(to, IDLE, &now_ns.to_le_bytes()),
        Input::Tick(tick) => {
            let mut bytes = Vec::with_capacity(16 + tick.losses.len() * LOSS_BYTES);
            bytes.extend_from_slice(&tick.now_ns.to_le_bytes());
            bytes.extend_from_slice(&tick.clock.offset_ns().to_le_bytes());
            for loss in &tick.losses {
                bytes.extend_from_slice(&loss.cgroup_id.to_le_bytes());
                bytes.extend_from_slice(&(loss.kind as u32).to_le_bytes());
                bytes.extend_from_slice(&(loss.cause as u32).to_le_bytes());
                bytes.extend_from_slice(&loss.count.to_le_bytes());
            }
            put(to, TICK, &bytes)
        }
        Input::Fact(fact) => put_json(to, FACT, fact),
        Input::Seeded(seeded) => put_json(to, SEEDED, seeded),
        Input::Planted(mount_ns) => put(to, PLANTED, &mount_ns.to_le_bytes()),
        Input::Lost(lost) => put_json(to, LOST, lost),
        Input::End(end) => put_json(to, END, end),
    }
}

fn put_json(to: &mut Vec<u8>, tag: u8, value: &impl Serialize) -> Result<(), TooLarge> {
    put(to, tag, &serde_json::to_vec(value).map_err(|_| TooLarge)?)
}

fn put(to: &mut Vec<u8>, tag: u8, content: &[u8]) -> Result<(), TooLarge> {
    if content.len() > ITEM_BYTES_MAX {
        return Err(TooLarge);
    }
    to.push(tag);
    let mut len = content.len();
    loop {
        let [low, ..] = len.to_le_bytes();
        len >>= 7;
        if len == 0 {
            to.push(low & 0x7f);
            break;
        }
        to.push(low | 0x80);
    }
    to.extend_from_slice(content);
    Ok(())
}

/// The items of a chunk.
#[derive(Debug)]
pub struct Items<'a> {
    bytes: &'a [u8],
    /// Where the last item begins, and the next one.
    begin: usize,
    at: usize,
}

impl<'a> Items<'a> {
    /// The items in these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            begin: 0,
            at: 0,
        }
    }

    /// Where the last item begins.
    #[must_use]
    pub const fn begin(&self) -> usize {
        self.begin
    }

    fn content(&mut self) -> Result<(u8, &'a [u8]), &'static str> {
        let short = "it is cut";
        let (tag, mut rest) = self.bytes[self.at..].split_first().ok_or(short)?;
        let mut len = 0_usize;
        for shift in [0, 7, 14, 21] {
            let (byte, behind) = rest.split_first().ok_or(short)?;
            rest = behind;
            len |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if len > ITEM_BYTES_MAX {
                    return Err("it is larger than any");
                }
                let content = rest.get(..len).ok_or(short)?;
                self.at = self.bytes.len() - rest.len() + len;
                return Ok((*tag, content));
            }
        }
        Err("its length has no end")
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Input<'a>, ItemFault>;

    /// The next item; after a fault none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        self.begin = at;
        let read = self.content().and_then(|(tag, content)| decode(tag, content));
        Some(read.map_err(|what| {
            self.at = self.bytes.len();
            ItemFault { at, what }
        }))
    }
}

fn decode(tag: u8, content: &[u8]) -> Result<Input<'_>, &'static str> {
    if let Some(ring) = Ring::ALL.into_iter().find(|ring| *ring as u8 == tag) {
        return Ok(Input::Record(ring, content));
    }
    Ok(match tag {
        NOW => Input::Now(u64::from_le_bytes(exactly(content)?)),
        IDLE => Input::Idle(u64::from_le_bytes(exactly(content)?)),
        TICK => Input::Tick(tick(content)?),
        FACT => Input::Fact(json(content)?),
        SEEDED => Input::Seeded(json(content)?),
        PLANTED => Input::Planted(u32::from_le_bytes(exactly(content)?)),
        LOST => Input::Lost(json(content)?),
        END => Input::End(json(content)?),
        _ => return Err("there is no such kind of item"),
    })
}

fn exactly<const N: usize>(content: &[u8]) -> Result<[u8; N], &'static str> {
    content.try_into().map_err(|_| "it has a wrong length")
}

fn json<T: for<'de> Deserialize<'de>>(content: &[u8]) -> Result<T, &'static str> {
    serde_json::from_slice(content).map_err(|_| "its text is not what it should be")
}

fn tick(content: &[u8]) -> Result<Tick, &'static str> {
    let (head, losses) = content.split_at_checked(16).ok_or("it has a wrong length")?;
    let losses = losses
        .chunks(LOSS_BYTES)
        .map(|bytes| -> Result<Loss, &'static str> {
            let bytes: [u8; LOSS_BYTES] = exactly(bytes)?;
            let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
            let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]));
            let kind = u8::try_from(short(8)).ok().and_then(Kind::from_number);
            Ok(Loss {
                cgroup_id: long(0),
                kind: kind.ok_or("there is no such kind of event")?,
                cause: LossCause::from_number(short(12)).ok_or("there is no such cause of a loss")?,
                count: long(16),
            })
        });
    Ok(Tick {
        losses: losses.collect::<Result<_, _>>()?,
        now_ns: u64::from_le_bytes(exactly(&head[..8])?),
        clock: Clock::from_offset_ns(i64::from_le_bytes(exactly(&head[8..])?)),
    })
}
