//! Lets clients through that call our unix socket by its path.
//!
//! gRPC's C core (Python, Ruby, C++), Java and Swift put the socket's path into `:authority`,
//! percent-encoded or not. HTTP does not allow that, and h2 answers with a protocol error
//! (hyperium/h2#487, grpc/grpc#38142): no such client could read detections without a special
//! option. As nothing here ever reads the authority, the bytes in it that are not allowed are
//! replaced, one by one, before h2 sees them.
//!
//! Invariant: the number of bytes never changes, so neither frames nor the tables of header
//! compression are disturbed. Values with Huffman coding are left as they are; the clients in
//! question do not use it here.

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
/// The frame types with header fields (RFC 9113, 6.2 and 6.10).
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const FLAG_PADDED: u8 = 0x8;
const FLAG_PRIORITY: u8 = 0x20;
/// The field in question, and its place in the static table (RFC 7541, appendix A). gRPC's C core
/// writes the name out.
const AUTHORITY: &[u8] = b":authority";
const AUTHORITY_INDEX: u32 = 1;

/// Follows one connection's bytes from the client.
#[derive(Debug)]
pub(super) struct AuthorityPatch {
    state: State,
    fields: Fields,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the preface are seen.
    Preface(usize),
    FrameHeader {
        seen: usize,
        header: [u8; FRAME_HEADER_BYTES],
    },
    /// The first byte of a padded HEADERS frame.
    PadLength { flags: u8, left: usize },
    /// Bytes before the fields, fields, and padding.
    Frame {
        skip: usize,
        fields: usize,
        padding: usize,
    },
    /// Not HTTP/2, or something else that h2 will refuse.
    Off,
}

impl State {
    const fn next_frame() -> Self {
        Self::FrameHeader {
            seen: 0,
            header: [0; FRAME_HEADER_BYTES],
        }
    }
}

impl AuthorityPatch {
    pub(super) fn new() -> Self {
        Self {
            state: State::Preface(0),
            fields: Fields::Start,
        }
    }

    /// Replaces what is not allowed in an authority among the next bytes of the connection.
    pub(super) fn patch(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            if taken == 0 {
                return;
            }
            bytes = &mut bytes[taken..];
        }
    }

    /// Handles some bytes and returns how many; 0 when there is nothing more to do in this connection.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match &mut self.state {
            State::Off => 0,
            State::Preface(seen) => {
                if bytes[0] != PREFACE[*seen] {
                    self.state = State::Off;
                    return 0;
                }
                *seen += 1;
                if *seen == PREFACE.len() {
                    self.state = State::next_frame();
                }
                1
            }
            State::FrameHeader { seen, header } => {
                header[*seen] = bytes[0];
                *seen += 1;
                if *seen == FRAME_HEADER_BYTES {
                    self.state = after_header(*header);
                }
                1
            }
            State::PadLength { flags, left } => {
                let padding = usize::from(bytes[0]);
                self.state = fields_of(*flags, *left, padding);
                1
            }
            State::Frame {
                skip,
                fields,
                padding,
            } => {
                if *skip > 0 {
                    return take(skip, bytes.len());
                }
                if *fields > 0 {
                    *fields -= 1;
                    if self.fields.next(&mut bytes[0]).is_none() {
                        self.state = State::Off;
                    }
                    return 1;
                }
                if *padding > 0 {
                    return take(padding, bytes.len());
                }
                self.state = State::next_frame();
                self.step(bytes)
            }
        }
    }
}

fn take(left: &mut usize, available: usize) -> usize {
    let taken = available.min(*left);
    *left -= taken;
    taken
}

fn after_header(header: [u8; FRAME_HEADER_BYTES]) -> State {
    let [high, middle, low, kind, flags, ..] = header;
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    match kind {
        HEADERS if flags & FLAG_PADDED != 0 && length > 0 => State::PadLength {
            flags,
            left: length - 1,
        },
        HEADERS => fields_of(flags, length, 0),
        CONTINUATION => State::Frame {
            skip: 0,
            fields: length,
            padding: 0,
        },
        _ => State::Frame {
            skip: length,
            fields: 0,
            padding: 0,
        },
    }
}

fn fields_of(flags: u8, left: usize, padding: usize) -> State {
    let skip = if flags & FLAG_PRIORITY != 0 { 5 } else { 0 };
    match left.checked_sub(skip + padding) {
        Some(fields) => State::Frame {
            skip,
            fields,
            padding,
        },
        None => State::Off,
    }
}

/// Follows header fields (RFC 7541, 6), which may be cut anywhere by frames and reads.
#[derive(Debug)]
enum Fields {
    Start,
    /// An index that goes on in the next byte.
    Index {
        value: u32,
        shift: u32,
        literal: bool,
    },
    /// A string begins.
    Length(Text),
    /// A string's length goes on in the next byte.
    MoreLength {
        value: u32,
        shift: u32,
        string: Text,
    },
    String {
        left: u32,
        string: Text,
    },
}

#[derive(Debug, Clone, Copy)]
enum Text {
    /// A name, of which so many bytes are those of `:authority`; none when it is another or Huffman-coded.
    Name(Option<usize>),
    /// The value after it.
    Value { authority: bool },
}

impl Fields {
    /// Follows one byte, and replaces it if it must be. None when the bytes make no sense.
    fn next(&mut self, byte: &mut u8) -> Option<()> {
        *self = match *self {
            Self::Start => {
                let (prefix, literal) = match *byte {
                    0x80.. => (0x7f, false),
                    0x40..0x80 => (0x3f, true),
                    // A change of the table's size.
                    0x20..0x40 => (0x1f, false),
                    0x00..0x20 => (0x0f, true),
                };
                let value = u32::from(*byte & prefix);
                if *byte & prefix == prefix {
                    Self::Index {
                        value,
                        shift: 0,
                        literal,
                    }
                } else {
                    after_index(value, literal)
                }
            }
            Self::Index {
                value,
                shift,
                literal,
            } => match more(value, shift, *byte)? {
                (value, true) => Self::Index {
                    value,
                    shift: shift + 7,
                    literal,
                },
                (value, false) => after_index(value, literal),
            },
            Self::Length(string) => {
                let string = if *byte & 0x80 == 0 {
                    string
                } else {
                    string.unreadable()
                };
                match *byte & 0x7f {
                    0x7f => Self::MoreLength {
                        value: 0x7f,
                        shift: 0,
                        string,
                    },
                    length => in_string(length.into(), string),
                }
            }
            Self::MoreLength { value, shift, string } => match more(value, shift, *byte)? {
                (value, true) => Self::MoreLength {
                    value,
                    shift: shift + 7,
                    string,
                },
                (value, false) => in_string(value, string),
            },
            Self::String { left, string } => in_string(left - 1, string.byte(byte)),
        };
        Some(())
    }
}

/// Adds a byte to an integer (RFC 7541, 5.1): the value, and whether it goes on.
fn more(value: u32, shift: u32, byte: u8) -> Option<(u32, bool)> {
    let part = u32::from(byte & 0x7f)
        .checked_shl(shift)
        .filter(|_| shift <= 21)?;
    Some((value.checked_add(part)?, byte & 0x80 != 0))
}

fn after_index(index: u32, literal: bool) -> Fields {
    match (literal, index) {
        (false, _) => Fields::Start,
        (true, 0) => Fields::Length(Text::Name(Some(0))),
        (true, _) => Fields::Length(Text::Value {
            authority: index == AUTHORITY_INDEX,
        }),
    }
}

fn in_string(left: u32, string: Text) -> Fields {
    match (left, string) {
        (0, Text::Name(matched)) => Fields::Length(Text::Value {
            authority: matched == Some(AUTHORITY.len()),
        }),
        (0, Text::Value { .. }) => Fields::Start,
        _ => Fields::String { left, string },
    }
}

impl Text {
    /// The same string when it is Huffman-coded.
    fn unreadable(self) -> Self {
        match self {
            Self::Name(_) => Self::Name(None),
            Self::Value { .. } => Self::Value { authority: false },
        }
    }

    /// Follows one byte of the string, and replaces it if it must be.
    fn byte(self, byte: &mut u8) -> Self {
        match self {
            Self::Name(Some(at)) if AUTHORITY.get(at) == Some(byte) => return Self::Name(Some(at + 1)),
            Self::Name(_) => return Self::Name(None),
            Self::Value { authority: true } if !byte.is_ascii_alphanumeric() && *byte != b'.' => *byte = b'-',
            Self::Value { .. } => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], payload].concat()
    }

    /// Literals between `:method: POST` by its index: an authority named by its index, one with its
    /// name written out, and
    /// `:authorit`, which is another name.
    fn fields(authority: &str) -> Vec<u8> {
        let length = [u8::try_from(authority.len()).unwrap()];
        [
            &[0x83, 0x41],
            &length[..],
            authority.as_bytes(),
            b"\x83\x40\x0a:authority",
            &length,
            authority.as_bytes(),
            b"\x83\x00\x09:authorit\x02%/\x83",
        ]
        .concat()
    }

    fn connection(authority: &str) -> Vec<u8> {
        let padded = [&[3][..], &[0; 5], &fields(authority), &[0; 3]].concat();
        let (first, second) = (&fields(authority)[..6], &fields(authority)[6..]);
        [
            PREFACE.to_vec(),
            frame(4, 0, &[]),
            frame(HEADERS, FLAG_PADDED | FLAG_PRIORITY | 4, &padded),
            frame(0, 1, b"A\x05data%/"),
            frame(HEADERS, 0, first),
            frame(CONTINUATION, 4, second),
        ]
        .concat()
    }

    #[test]
    fn only_the_authority_changes_however_the_bytes_are_cut() {
        let expected = connection("-2Frun-2Fsensor.sock");
        for size in 1..=expected.len() {
            let mut bytes = connection("%2Frun%2Fsensor.sock");
            let mut patch = AuthorityPatch::new();
            bytes.chunks_mut(size).for_each(|chunk| patch.patch(chunk));
            assert_eq!(bytes, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_not_http2_or_not_plain_stays_as_it_is() {
        let huffman = [&[0x41, 0x80 | 3][..], b"%%%"].concat();
        let cases = [
            b"GET / HTTP/1.1\r\nHost: %2F\r\n\r\n".to_vec(),
            [&PREFACE[..], &frame(HEADERS, 4, &huffman)].concat(),
            [&PREFACE[..], &frame(HEADERS, 4, &fields("localhost"))].concat(),
        ];
        for case in cases {
            let mut bytes = case.clone();
            AuthorityPatch::new().patch(&mut bytes);
            assert_eq!(bytes, case);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut patch = AuthorityPatch::new();
            let mut connection = [&PREFACE[..], &bytes].concat();
            patch.patch(&mut connection);
        }
    }
}
