//! Events that were told before their end, and wait for it.
//!
//! A connect is told when it begins, with the address as the kernel copied it; how it ended comes in a record of its
//! own ([`Outcome`]). The two are joined here by their key. Nothing waits longer than [`WAIT_NS`]: what has not ended
//! by then is told as it stands, once, and says so.

use std::{collections::VecDeque, mem::offset_of};

use hashbrown::HashMap;
use sensor_common::{
    kind::Kind,
    record::{Header, Open, PathCall, SocketCall, Span, flags, outcome},
};

use crate::event::{Body, DecodeError, Event, Outcome};

/// How long an event waits for its end.
pub const WAIT_NS: u64 = 200_000_000;

/// How long one whose socket is connected waits for the exit of its call, which knows the descriptor.
const GRACE_NS: u64 = 10_000_000;

/// Events that may wait; beyond, the eldest is told as it stands.
pub const PENDING_MAX: usize = 8192;

/// `EINPROGRESS`, negated.
const IN_PROGRESS: i64 = -115;

struct Waiting {
    record: Box<[u8]>,
    number: u64,
    begun: bool,
    established: bool,
    /// The socket's own end, of one that is connected.
    own: Option<(u16, [u8; 16], u16)>,
    result: Option<i64>,
}

/// Events that wait, by key.
#[derive(Default)]
pub struct Pending {
    waiting: HashMap<u64, Waiting>,
    /// Deadlines, in boot nanoseconds, with key and number: an entry whose number is another's is over.
    order: VecDeque<(u64, u64, u64)>,
    number: u64,
    /// Events told early because too many waited.
    pub evicted: u64,
}

/// A record whose event is to be told now, with what is known of its end.
pub struct Ready {
    record: Box<[u8]>,
    established: bool,
    own: Option<(u16, [u8; 16], u16)>,
    fd: i32,
    result: Option<i64>,
    begun: bool,
    /// What else the outcome tells: that a rule denied the call.
    found: u32,
}

impl Pending {
    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes an event in; what it displaces is to be told now.
    pub fn hold(&mut self, key: u64, record: &[u8], now_ns: u64) -> Option<Ready> {
        self.number += 1;
        let displaced = if self.waiting.len() >= PENDING_MAX && !self.waiting.contains_key(&key) {
            self.evicted += 1;
            self.eldest()
        } else {
            None
        };
        let before = self.waiting.insert(
            key,
            Waiting {
                record: record.into(),
                number: self.number,
                begun: false,
                established: false,
                own: None,
                result: None,
            },
        );
        self.order
            .push_back((now_ns.saturating_add(WAIT_NS), key, self.number));
        before.map(Waiting::over).or(displaced)
    }

    fn eldest(&mut self) -> Option<Ready> {
        while let Some((_, key, number)) = self.order.pop_front() {
            if let Some(ready) = self.give_up(key, number) {
                return Some(ready);
            }
        }
        None
    }

    /// The event that was put in order as this one, unless it has been told or another has its key by now.
    fn give_up(&mut self, key: u64, number: u64) -> Option<Ready> {
        if self.waiting.get(&key)?.number != number {
            return None;
        }
        self.waiting.remove(&key).map(Waiting::over)
    }

    /// Takes an outcome in; the event that is whole by it is to be told now.
    pub fn join(&mut self, header: &Header, outcome: &Outcome<'_>) -> Option<Ready> {
        let (key, now_ns) = (header.key, header.time_ns);
        let waiting = self.waiting.get_mut(&key)?;
        let fixed = &outcome.fixed;
        if fixed.stage == outcome::BEGUN {
            waiting.begun = true;
            return None;
        }
        if fixed.local_family != 0 {
            waiting.own = Some((fixed.local_family, fixed.local_address, fixed.local_port));
        }
        // The exit of the call, or what stands for it.
        let by_call = fixed.fd >= 0 || header.flags & flags::VIA_IO_URING != 0;
        if by_call {
            waiting.result = Some(fixed.result);
        } else if fixed.stage == outcome::DONE {
            waiting.established |= fixed.result == 0;
            let waits = !has(&waiting.record, flags::NO_WAIT);
            waiting.result = Some(if waits { fixed.result } else { IN_PROGRESS });
        }
        if !by_call && has(&waiting.record, flags::EXIT_FOLLOWS) {
            // The exit of the call comes next, unless io_uring made it.
            self.order
                .push_front((now_ns.saturating_add(GRACE_NS), key, waiting.number));
            return None;
        }
        let mut ready = self.waiting.remove(&key)?.over();
        ready.fd = fixed.fd;
        ready.found = header.flags & (flags::DENIED | flags::KILLED | flags::VIA_IO_URING);
        Some(ready)
    }

    /// The record that waits for this end, which comes as a whole record of its own.
    pub fn take(&mut self, key: u64) -> Option<Box<[u8]>> {
        self.waiting.remove(&key).map(|waiting| waiting.record)
    }

    /// The next event whose time is over, if there is one.
    pub fn expired(&mut self, now_ns: u64) -> Option<Ready> {
        while let Some((deadline, key, number)) = self.order.front().copied() {
            if deadline > now_ns {
                return None;
            }
            self.order.pop_front();
            if let Some(ready) = self.give_up(key, number) {
                return Some(ready);
            }
        }
        None
    }
}

impl Waiting {
    fn over(self) -> Ready {
        Ready {
            record: self.record,
            established: self.established,
            own: self.own,
            fd: -1,
            result: self.result,
            begun: self.begun,
            found: 0,
        }
    }
}

/// Whether a record carries a flag.
fn has(record: &[u8], flag: u32) -> bool {
    Event::decode(record).is_ok_and(|event| event.has(flag))
}

impl Ready {
    /// The event, with its end filled in.
    ///
    /// # Errors
    /// None but those that the record had when it was taken in.
    pub fn event(&self) -> Result<Event<'_>, DecodeError> {
        let mut event = Event::decode(&self.record)?;
        let header = &mut event.header;
        header.flags = header.flags & !flags::PENDING | self.found;
        if self.established {
            header.flags |= flags::ESTABLISHED;
        }
        if self.result.is_none() && !self.begun {
            // A datagram socket's connect, or one that failed before a packet was sent.
            header.flags |= flags::RESULT_ASSUMED;
        }
        let is_connect = event.kind() == Kind::Connect;
        if let Body::Socket(connect) = &mut event.body {
            let fixed = &mut connect.fixed;
            let goes_on = is_connect && (self.begun || fixed.protocol != IPPROTO_UDP);
            fixed.result = match (self.result, goes_on) {
                (Some(result), _) => result,
                (None, true) => IN_PROGRESS,
                (None, false) => 0,
            };
            fixed.fd = self.fd;
            if let Some((_, address, port)) = self.own {
                fixed.local_address = address;
                fixed.local_port = port;
            }
        } else if let Body::Path(call) = &mut event.body {
            call.fixed.result = self.result.unwrap_or(0);
        }
        Ok(event)
    }
}

impl Ready {
    /// The record, with its end filled in.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn into_record(self) -> Result<Box<[u8]>, DecodeError> {
        let event = self.event()?;
        let told = event.header.flags;
        let body = match event.body {
            Body::Socket(socket) => Ok(socket.fixed),
            Body::Path(call) => Err(Some(call.fixed.result)),
            _ => Err(None),
        };
        let mut record = self.record;
        let mut put = |at: usize, value: &[u8]| {
            if let Some(place) = record.get_mut(at..at + value.len()) {
                place.copy_from_slice(value);
            }
        };
        let begin = size_of::<Header>();
        put(offset_of!(Header, flags), &told.to_ne_bytes());
        let fixed = match body {
            Ok(fixed) => fixed,
            Err(result) => {
                if let Some(result) = result {
                    put(begin + offset_of!(PathCall, result), &result.to_ne_bytes());
                }
                return Ok(record);
            }
        };
        put(
            begin + offset_of!(SocketCall, result),
            &fixed.result.to_ne_bytes(),
        );
        put(begin + offset_of!(SocketCall, fd), &fixed.fd.to_ne_bytes());
        put(
            begin + offset_of!(SocketCall, local_port),
            &fixed.local_port.to_ne_bytes(),
        );
        put(
            begin + offset_of!(SocketCall, local_address),
            &fixed.local_address,
        );
        Ok(record)
    }
}

/// A whole record of an open that is done, with the name that was given, which only the record of its beginning has; of
/// a file that could not be found any more, with the path as far as it was known then.
///
/// # Errors
/// When one of the two is not a record of an open.
pub fn with_names(done: &[u8], begun: &[u8]) -> Result<Box<[u8]>, DecodeError> {
    let (end, first) = (Event::decode(done)?, Event::decode(begun)?);
    let (Body::Open(end_body), Body::Open(first_body)) = (&end.body, &first.body) else {
        return Err(DecodeError::Kind(first.header.kind));
    };
    let mut record = done[..end.header.len as usize].to_vec();
    let mut told = end.header.flags | first.header.flags & (flags::GIVEN_TRUNCATED | flags::GIVEN_UNREADABLE);
    let fixed = size_of::<Header>();
    append(&mut record, fixed + offset_of!(Open, given), first_body.given);
    if end_body.path.is_empty() && end_body.fixed.result >= 0 {
        append(&mut record, fixed + offset_of!(Open, path), first_body.path);
        told |= first.header.flags & (flags::PATH_PARTLY_GIVEN | flags::PATH_TRUNCATED);
    }
    let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
    record[offset_of!(Header, flags)..][..4].copy_from_slice(&told.to_ne_bytes());
    record[offset_of!(Header, len)..][..4].copy_from_slice(&len.to_ne_bytes());
    Ok(record.into())
}

/// Appends a piece to a record, and writes where it is to `at`. One that no longer fits is left out.
fn append(record: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let (Ok(offset), Ok(len)) = (u16::try_from(record.len()), u16::try_from(piece.len())) else {
        return;
    };
    record.extend_from_slice(piece);
    record[at + offset_of!(Span, offset)..][..2].copy_from_slice(&offset.to_ne_bytes());
    record[at + offset_of!(Span, len)..][..2].copy_from_slice(&len.to_ne_bytes());
}

/// `include/uapi/linux/in.h`
const IPPROTO_UDP: u16 = 17;

#[cfg(test)]
mod tests {
    use sensor_common::{LAYOUT_VERSION, kind::Kind, record};

    use super::*;

    const CONNECT_BYTES: usize = size_of::<Header>() + size_of::<SocketCall>();

    /// A record of a connect, made of the fields that matter here.
    fn connect(with: u32, protocol: u16) -> Vec<u8> {
        let mut bytes = vec![0; CONNECT_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &u32::try_from(CONNECT_BYTES).unwrap().to_ne_bytes());
        put(4, &[LAYOUT_VERSION, Kind::Connect as u8]);
        let flags = with | flags::PENDING;
        put(std::mem::offset_of!(Header, flags), &flags.to_ne_bytes());
        let fixed = size_of::<Header>();
        put(
            fixed + std::mem::offset_of!(SocketCall, protocol),
            &protocol.to_ne_bytes(),
        );
        bytes
    }

    fn end(stage: u32, result: i64, fd: i32) -> Outcome<'static> {
        let fixed = record::Outcome {
            stage,
            result,
            fd,
            local_family: 2,
            local_port: 40_000,
            ..record::Outcome::default()
        };
        Outcome { fixed, path: b"" }
    }

    /// The header of an outcome.
    fn at(key: u64, time_ns: u64) -> Header {
        Header {
            key,
            time_ns,
            ..Header::default()
        }
    }

    /// Result, descriptor and own port, and the flags that say more.
    fn told(ready: &Ready) -> (i64, i32, u16, u32) {
        let event = ready.event().unwrap();
        let Body::Socket(connect) = event.body else {
            panic!("no connect")
        };
        let fixed = connect.fixed;
        (fixed.result, fixed.fd, fixed.local_port, event.header.flags)
    }

    #[test]
    fn a_connect_is_told_once_with_what_came_of_it() {
        let mut pending = Pending::default();
        assert!(pending.hold(1, &connect(0, 6), 0).is_none());
        assert!(pending.join(&at(1, 1), &end(outcome::BEGUN, 0, -1)).is_none());
        let ready = pending.join(&at(1, 2), &end(outcome::DONE, -111, -1)).unwrap();
        assert_eq!(told(&ready), (-111, -1, 40_000, 0));
        assert!(pending.join(&at(1, 3), &end(outcome::DONE, -111, 3)).is_none());
        assert!(pending.is_empty());
    }

    #[test]
    fn the_exit_of_the_call_is_waited_for_where_it_comes() {
        let mut pending = Pending::default();
        pending.hold(1, &connect(flags::EXIT_FOLLOWS, 6), 0);
        assert!(pending.join(&at(1, 1), &end(outcome::DONE, 0, -1)).is_none());
        let ready = pending.join(&at(1, 2), &end(outcome::DONE, 0, 5)).unwrap();
        let flags_told = flags::EXIT_FOLLOWS | flags::ESTABLISHED;
        assert_eq!(told(&ready), (0, 5, 40_000, flags_told));

        // Made by io_uring: no exit comes, and the grace is short.
        pending.hold(2, &connect(flags::EXIT_FOLLOWS, 6), 0);
        pending.join(&at(2, 1), &end(outcome::DONE, 0, -1));
        assert!(pending.expired(GRACE_NS).is_none());
        let ready = pending.expired(GRACE_NS + 1).unwrap();
        assert_eq!(told(&ready), (0, -1, 40_000, flags_told));
    }

    #[test]
    fn who_does_not_wait_is_told_in_progress() {
        let mut pending = Pending::default();
        pending.hold(1, &connect(flags::NO_WAIT, 6), 0);
        let ready = pending.join(&at(1, 2), &end(outcome::DONE, 0, -1)).unwrap();
        assert_eq!(
            told(&ready),
            (-115, -1, 40_000, flags::NO_WAIT | flags::ESTABLISHED)
        );
    }

    #[test]
    fn what_does_not_end_is_told_in_time() {
        let mut pending = Pending::default();
        pending.hold(1, &connect(0, 6), 0);
        pending.join(&at(1, 1), &end(outcome::BEGUN, 0, -1));
        assert!(pending.expired(WAIT_NS - 1).is_none());
        let ready = pending.expired(WAIT_NS).unwrap();
        assert_eq!(told(&ready).0, -115);
        assert!(pending.expired(u64::MAX).is_none());

        pending.hold(2, &connect(0, 17), 0);
        let ready = pending.expired(WAIT_NS).unwrap();
        assert_eq!(told(&ready), (0, -1, 0, flags::RESULT_ASSUMED));
    }

    /// A record of an open, with its path and its name.
    fn open(with: u32, result: i64, path: &[u8], given: &[u8]) -> Vec<u8> {
        let fixed = size_of::<Header>();
        let mut bytes = vec![0; fixed + size_of::<Open>()];
        append(&mut bytes, fixed + offset_of!(Open, path), path);
        append(&mut bytes, fixed + offset_of!(Open, given), given);
        let len = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        bytes[4..6].copy_from_slice(&[LAYOUT_VERSION, Kind::Open as u8]);
        bytes[offset_of!(Header, flags)..][..4].copy_from_slice(&with.to_ne_bytes());
        bytes[fixed + offset_of!(Open, result)..][..8].copy_from_slice(&result.to_ne_bytes());
        bytes
    }

    #[test]
    fn an_open_that_is_done_gets_the_name_of_its_beginning() {
        let begun = open(
            flags::PENDING | flags::PATH_PARTLY_GIVEN,
            0,
            b"/tmp/link",
            b"link",
        );
        for (result, path, expected) in [
            (5, &b"/etc/shadow"[..], &b"/etc/shadow"[..]),
            (5, b"", b"/tmp/link"),
            (-2, b"", b""),
        ] {
            let whole = with_names(&open(0, result, path, b""), &begun).unwrap();
            let event = Event::decode(&whole).unwrap();
            let Body::Open(open) = &event.body else {
                panic!("no open")
            };
            assert_eq!((open.given, open.path), (&b"link"[..], expected));
            assert_eq!(
                event.has(flags::PATH_PARTLY_GIVEN),
                path.is_empty() && result >= 0
            );
            assert!(!event.has(flags::PENDING));
        }
        assert!(with_names(&begun, &connect(0, 6)).is_err());
    }

    #[test]
    fn too_many_displace_the_eldest() {
        let mut pending = Pending::default();
        for key in 0..PENDING_MAX as u64 {
            assert!(pending.hold(key, &connect(0, 6), key).is_none());
        }
        assert!(pending.hold(u64::MAX, &connect(0, 6), 1).is_some());
        assert_eq!((pending.len(), pending.evicted), (PENDING_MAX, 1));
        assert!(
            pending.join(&at(0, 2), &end(outcome::DONE, 0, -1)).is_none(),
            "it was told"
        );
        // The same socket again: what it did before is told.
        assert!(pending.hold(u64::MAX, &connect(0, 6), 3).is_some());
    }
}
