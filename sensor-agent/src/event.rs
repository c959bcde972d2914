//! Turns ring records into typed events.
//!
//! Input is whatever the kernel wrote, so nothing here is trusted: every length is checked before use and
//! a bad record becomes a [`DecodeError`], never a panic.
//!
//! Invariant: decoding needs no state, copies no text and allocates nothing. Anything that needs the past
//! belongs in `state`.

mod plain;
#[cfg(test)]
mod tests;

use sensor_common::{
    LAYOUT_VERSION,
    kind::{Kind, Shape},
    record::{self, Header, Span, flags},
    syscall::Call,
};

/// Why a record was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the header and the kind's fixed part need, or than the header says.
    #[error("the record is cut: {have} of {need} bytes")]
    Short {
        /// Bytes there are.
        have: usize,
        /// Bytes there must be.
        need: usize,
    },
    /// Another layout: the programs in the kernel are not this agent's.
    #[error("the record has layout {0}, not {LAYOUT_VERSION}")]
    Layout(u8),
    /// No such kind.
    #[error("the record is of the unknown kind {0}")]
    Kind(u8),
    /// A piece of the tail lies outside the record.
    #[error("a piece of the tail lies outside the record")]
    Span,
}

/// One decoded record; text is borrowed from it.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Who, when, where.
    pub header: Header,
    /// What.
    pub body: Body<'a>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// A process began.
    Fork(Fork<'a>),
    /// A process replaced its program.
    Exec(Exec<'a>),
    /// A process ended.
    Exit(record::Exit),
    /// A file was opened, or could not be.
    Open(Open<'a>),
    /// Something was done with a socket: the kinds of [`Shape::Socket`].
    Socket(SocketCall<'a>),
    /// Something was done with names or files: the kinds of [`Shape::Path`].
    Path(PathCall<'a>),
    /// A process became somebody else: the kinds of [`Shape::Identity`].
    Identity(IdentityCall<'a>),
    /// Anything else: the kinds of [`Shape::Plain`].
    Plain(PlainCall<'a>),
}

/// A process began.
#[derive(Clone, Debug)]
pub struct Fork<'a> {
    /// The fixed part.
    pub fixed: record::Fork,
    /// The child's cgroup, root first.
    pub cgroup: &'a [u8],
}

/// A process replaced its program.
#[derive(Clone, Debug)]
pub struct Exec<'a> {
    /// The fixed part.
    pub fixed: record::Exec,
    /// Resolved path of the program.
    pub path: &'a [u8],
    /// The name it was called by.
    pub filename: &'a [u8],
    /// Of a script, its interpreter's name.
    pub interpreter: &'a [u8],
    /// Arguments, each ended by a zero byte.
    pub argv: &'a [u8],
    /// Resolved working directory.
    pub cwd: &'a [u8],
    /// The cgroup, root first.
    pub cgroup: &'a [u8],
}

/// A file was opened, or could not be.
#[derive(Clone, Debug)]
pub struct Open<'a> {
    /// The fixed part.
    pub fixed: record::Open,
    /// Resolved path of the file; empty when the call failed.
    pub path: &'a [u8],
    /// The string that the caller gave.
    pub given: &'a [u8],
}

/// Something was done with a socket.
#[derive(Clone, Debug)]
pub struct SocketCall<'a> {
    /// The fixed part.
    pub fixed: record::SocketCall,
    /// Resolved path of the peer's unix socket or, of a file that is no socket, of the file.
    pub path: &'a [u8],
    /// Address of the peer's unix socket.
    pub given: &'a [u8],
}

/// Something was done with names or files. See [`record::PathCall`].
#[derive(Clone, Debug)]
pub struct PathCall<'a> {
    /// The fixed part.
    pub fixed: record::PathCall,
    /// Path of the first name or the open file.
    pub path: &'a [u8],
    /// The first name as the caller gave it.
    pub given: &'a [u8],
    /// Path of the second name.
    pub path2: &'a [u8],
    /// The second name as the caller gave it.
    pub given2: &'a [u8],
    /// What the call names besides files.
    pub text: &'a [u8],
}

/// A process became somebody else.
#[derive(Clone, Debug)]
pub struct IdentityCall<'a> {
    /// The fixed part.
    pub fixed: record::IdentityCall,
    /// What the call names.
    pub text: &'a [u8],
}

/// A call of which there are numbers and texts to tell. See [`record::PlainCall`].
#[derive(Clone, Debug)]
pub struct PlainCall<'a> {
    /// The fixed part.
    pub fixed: record::PlainCall,
    /// What the call names.
    pub text: &'a [u8],
    /// What else it names.
    pub text2: &'a [u8],
}

/// What came of an event that was told before its end: no event by itself.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// The fixed part.
    pub fixed: record::Outcome,
    /// Resolved path of the file; empty where there is none.
    pub path: &'a [u8],
}

impl<'a> Outcome<'a> {
    /// Reads one record, if it is an outcome: its header and what it tells.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Header, Self)>, DecodeError> {
        let header: Header = plain::read(bytes, 0)?;
        if header.kind != Kind::Outcome as u8 {
            return Ok(None);
        }
        let record = whole(bytes, &header)?;
        let fixed: record::Outcome = fixed(record)?;
        let path = piece(record, fixed.path)?;
        Ok(Some((header, Self { fixed, path })))
    }
}

/// The record's own bytes, once its layout and its length are right.
fn whole<'a>(bytes: &'a [u8], header: &Header) -> Result<&'a [u8], DecodeError> {
    if header.version != LAYOUT_VERSION {
        return Err(DecodeError::Layout(header.version));
    }
    let need = header.len as usize;
    if bytes.len() < need || need < size_of::<Header>() {
        return Err(DecodeError::Short {
            have: bytes.len(),
            need,
        });
    }
    Ok(&bytes[..need])
}

impl<'a> Event<'a> {
    /// Reads one record.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let header: Header = plain::read(bytes, 0)?;
        let record = whole(bytes, &header)?;
        let kind = Kind::from_number(header.kind).ok_or(DecodeError::Kind(header.kind))?;
        let body = match kind.shape() {
            Shape::Fork => Body::Fork(fork(record)?),
            Shape::Exec => Body::Exec(exec(record)?),
            Shape::Exit => Body::Exit(fixed(record)?),
            Shape::Open => Body::Open(open(record)?),
            Shape::Socket => Body::Socket(socket_call(record)?),
            Shape::Path => Body::Path(path_call(record)?),
            Shape::Identity => Body::Identity(identity_call(record)?),
            Shape::Plain => Body::Plain(plain_call(record)?),
            // No event: see `Outcome::decode`.
            Shape::Outcome => return Err(DecodeError::Kind(header.kind)),
        };
        Ok(Self { header, body })
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        // Decoding has checked that the number is a kind's.
        Kind::from_number(self.header.kind).unwrap_or(Kind::Exit)
    }

    /// The system call, where it came from one that has a number of its own.
    #[must_use]
    pub fn call(&self) -> Call {
        let number = match &self.body {
            Body::Open(open) => open.fixed.call,
            Body::Socket(socket) => socket.fixed.call,
            Body::Path(path) => path.fixed.call,
            Body::Identity(identity) => identity.fixed.call,
            Body::Plain(plain) => plain.fixed.call,
            Body::Fork(_) | Body::Exec(_) | Body::Exit(_) => return Call::None,
        };
        u8::try_from(number).map_or(Call::None, Call::from_number)
    }

    /// The call's result: negative is a negated `errno`. 0 for what is no call.
    #[must_use]
    pub fn result(&self) -> i64 {
        match &self.body {
            Body::Open(open) => open.fixed.result,
            Body::Socket(socket) => socket.fixed.result,
            Body::Path(path) => path.fixed.result,
            Body::Identity(identity) => identity.fixed.result,
            Body::Plain(plain) => plain.fixed.result,
            Body::Fork(_) | Body::Exec(_) | Body::Exit(_) => 0,
        }
    }

    /// Whether the record carries one of these [`flags`].
    #[must_use]
    pub fn has(&self, wanted: u32) -> bool {
        self.header.flags & wanted != 0
    }

    /// The thread's name.
    #[must_use]
    pub fn comm(&self) -> &[u8] {
        let comm = &self.header.comm;
        &comm[..memchr::memchr(0, comm).unwrap_or(comm.len())]
    }

    /// Whether the call was made by 32-bit code.
    #[must_use]
    pub fn is_compat(&self) -> bool {
        self.has(flags::COMPAT)
    }
}

/// The part behind the header.
fn fixed<T: plain::Plain>(record: &[u8]) -> Result<T, DecodeError> {
    plain::read(record, size_of::<Header>())
}

/// A piece of the tail.
fn piece(record: &[u8], span: Span) -> Result<&[u8], DecodeError> {
    if span.len == 0 {
        return Ok(&[]);
    }
    let begin = usize::from(span.offset);
    record
        .get(begin..begin + usize::from(span.len))
        .ok_or(DecodeError::Span)
}

fn fork(record: &[u8]) -> Result<Fork<'_>, DecodeError> {
    let fixed: record::Fork = fixed(record)?;
    Ok(Fork {
        cgroup: piece(record, fixed.cgroup)?,
        fixed,
    })
}

fn exec(record: &[u8]) -> Result<Exec<'_>, DecodeError> {
    let fixed: record::Exec = fixed(record)?;
    Ok(Exec {
        path: piece(record, fixed.path)?,
        filename: piece(record, fixed.filename)?,
        interpreter: piece(record, fixed.interpreter)?,
        argv: piece(record, fixed.argv)?,
        cwd: piece(record, fixed.cwd)?,
        cgroup: piece(record, fixed.cgroup)?,
        fixed,
    })
}

fn open(record: &[u8]) -> Result<Open<'_>, DecodeError> {
    let fixed: record::Open = fixed(record)?;
    Ok(Open {
        path: piece(record, fixed.path)?,
        given: piece(record, fixed.given)?,
        fixed,
    })
}

fn socket_call(record: &[u8]) -> Result<SocketCall<'_>, DecodeError> {
    let fixed: record::SocketCall = fixed(record)?;
    Ok(SocketCall {
        path: piece(record, fixed.path)?,
        given: piece(record, fixed.given)?,
        fixed,
    })
}

fn path_call(record: &[u8]) -> Result<PathCall<'_>, DecodeError> {
    let fixed: record::PathCall = fixed(record)?;
    Ok(PathCall {
        path: piece(record, fixed.path)?,
        given: piece(record, fixed.given)?,
        path2: piece(record, fixed.path2)?,
        given2: piece(record, fixed.given2)?,
        text: piece(record, fixed.text)?,
        fixed,
    })
}

fn identity_call(record: &[u8]) -> Result<IdentityCall<'_>, DecodeError> {
    let fixed: record::IdentityCall = fixed(record)?;
    Ok(IdentityCall {
        text: piece(record, fixed.text)?,
        fixed,
    })
}

fn plain_call(record: &[u8]) -> Result<PlainCall<'_>, DecodeError> {
    let fixed: record::PlainCall = fixed(record)?;
    Ok(PlainCall {
        text: piece(record, fixed.text)?,
        text2: piece(record, fixed.text2)?,
        fixed,
    })
}
