//! A reader of BTF, the kernel's own description of its types.
//!
//! It answers a few questions (where is this member, how large is this structure, what is this
//! enumerator's value) and nothing more, so one pass over the types that remembers where each begins is
//! all it needs.
//!
//! Names may be ambiguous: a kernel can hold several structures of one name. A question whose answers
//! differ between them is refused rather than answered by chance.
//!
//! Format: `Documentation/bpf/btf.rst` of the kernel.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;

/// Where every kernel with `CONFIG_DEBUG_INFO_BTF` shows its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// More than any kernel has, and a bound on what a made-up file can cost.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Anonymous members and typedefs that are followed, at most; kernels nest a handful.
const DEPTH_MAX: u32 = 32;

/// Why BTF could not be read or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error(
        "cannot read the kernel's types from {path}: {source}; a kernel built with CONFIG_DEBUG_INFO_BTF has them, or give a BTF file with `kernel.btf`"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What reading said.
        source: std::io::Error,
    },
    /// The file is not BTF, or is cut.
    #[error("not valid BTF: {0}")]
    Malformed(&'static str),
    /// Something is wrong with what a file holds.
    #[error("cannot read the kernel's types from {path}: {source}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What.
        source: Box<BtfError>,
    },
    /// Structures of one name disagree.
    #[error("the kernel has several types named {name} that differ in {member}")]
    Ambiguous {
        /// The types' name.
        name: String,
        /// What was asked for.
        member: String,
    },
}

/// `BTF_KIND_*` (`include/uapi/linux/btf.h`).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
    pub(super) const MAX: u32 = 19;
}

/// A BTF file in memory.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    /// Where each type begins; type 0 is `void` and has no entry of its own.
    types: Vec<u32>,
    strings: (usize, usize),
    /// Named structures, enumerations and typedefs: where the name's bytes begin, to ids.
    named: HashMap<Box<[u8]>, Vec<u32>>,
}

/// One type's first twelve bytes.
#[derive(Clone, Copy)]
struct TypeHead {
    at: usize,
    name: u32,
    kind: u32,
    /// Number of members, values, ...
    count: usize,
    /// Member offsets hold a bit field's width too.
    kind_flag: bool,
    size_or_type: u32,
}

impl Btf {
    /// Reads a BTF file.
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        let read = |source| BtfError::Read {
            path: path.to_owned(),
            source,
        };
        let content = |source| BtfError::Content {
            path: path.to_owned(),
            source: Box::new(source),
        };
        if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(content(BtfError::Malformed("longer than 64 MiB")));
        }
        Self::parse(std::fs::read(path).map_err(read)?).map_err(content)
    }

    /// Takes a BTF file's bytes.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        if bytes.len() < 24 || u16::from_ne_bytes([bytes[0], bytes[1]]) != 0xeb9f {
            return Err(BtfError::Malformed("no BTF header of this machine's byte order"));
        }
        let word = |at: usize| read_u32(&bytes, at).map(|word| word as usize);
        let header = word(4)?;
        let section = |at: usize| -> Result<(usize, usize), BtfError> {
            let begin = header
                .checked_add(word(at)?)
                .ok_or(BtfError::Malformed("a section out of range"))?;
            let end = begin
                .checked_add(word(at + 4)?)
                .ok_or(BtfError::Malformed("a section out of range"))?;
            if end > bytes.len() {
                return Err(BtfError::Malformed("a section ends behind the file"));
            }
            Ok((begin, end))
        };
        let (types_begin, types_end) = section(8)?;
        let strings = section(16)?;
        let mut btf = Self {
            bytes,
            types: Vec::new(),
            strings,
            named: HashMap::new(),
        };
        btf.index(types_begin, types_end)?;
        Ok(btf)
    }

    /// The one pass: remembers where each type begins, and the ids of those that can be asked for.
    fn index(&mut self, begin: usize, end: usize) -> Result<(), BtfError> {
        let mut at = begin;
        while at < end {
            let head = self.head_at(at)?;
            let more = match head.kind {
                kind::INT | kind::VAR | kind::DECL_TAG => 4,
                kind::ARRAY => 12,
                kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => head.count * 12,
                kind::ENUM | kind::FUNC_PROTO => head.count * 8,
                1..=kind::MAX => 0,
                _ => return Err(BtfError::Malformed("an unknown kind of type")),
            };
            self.types
                .push(u32::try_from(at).map_err(|_| BtfError::Malformed("too long"))?);
            if head.name != 0
                && matches!(
                    head.kind,
                    kind::STRUCT | kind::ENUM | kind::ENUM64 | kind::TYPEDEF
                )
            {
                let id =
                    u32::try_from(self.types.len()).map_err(|_| BtfError::Malformed("too many types"))?;
                let name: Box<[u8]> = self.name(head.name)?.into();
                self.named.entry(name).or_default().push(id);
            }
            at += 12 + more;
        }
        if at == end {
            Ok(())
        } else {
            Err(BtfError::Malformed("the last type is cut"))
        }
    }

    fn head_at(&self, at: usize) -> Result<TypeHead, BtfError> {
        let info = read_u32(&self.bytes, at + 4)?;
        Ok(TypeHead {
            at,
            name: read_u32(&self.bytes, at)?,
            kind: (info >> 24) & 0x1f,
            count: (info & 0xffff) as usize,
            kind_flag: info >> 31 != 0,
            size_or_type: read_u32(&self.bytes, at + 8)?,
        })
    }

    fn head(&self, id: u32) -> Result<TypeHead, BtfError> {
        let at = (id as usize)
            .checked_sub(1)
            .and_then(|index| self.types.get(index));
        self.head_at(*at.ok_or(BtfError::Malformed("a type id out of range"))? as usize)
    }

    fn name(&self, offset: u32) -> Result<&[u8], BtfError> {
        let (begin, end) = self.strings;
        let text = self.bytes[begin..end]
            .get(offset as usize..)
            .ok_or(BtfError::Malformed("a name out of range"))?;
        let len = memchr::memchr(0, text).ok_or(BtfError::Malformed("a name without an end"))?;
        Ok(&text[..len])
    }

    /// Types of this name and one of these kinds.
    fn find(&self, name: &str, kinds: &[u32]) -> Result<Vec<TypeHead>, BtfError> {
        let ids = self.named.get(name.as_bytes()).map_or(&[][..], Vec::as_slice);
        let mut found = Vec::new();
        for &id in ids {
            let head = self.head(id)?;
            if kinds.contains(&head.kind) {
                found.push(head);
            }
        }
        Ok(found)
    }

    /// Asks each type the same question; `None` where none has an answer.
    fn agree<T: PartialEq>(
        candidates: &[TypeHead],
        name: &str,
        member: &str,
        mut ask: impl FnMut(TypeHead) -> Result<Option<T>, BtfError>,
    ) -> Result<Option<T>, BtfError> {
        let mut agreed = None;
        for &head in candidates {
            let answer = ask(head)?;
            match (&agreed, answer) {
                (_, None) => {}
                (None, Some(answer)) => agreed = Some(answer),
                (Some(first), Some(answer)) if *first == answer => {}
                _ => {
                    return Err(BtfError::Ambiguous {
                        name: name.into(),
                        member: member.into(),
                    });
                }
            }
        }
        Ok(agreed)
    }

    /// The offset in bytes of a member, or of a member of a member (`ns.inum`); `None` where there is no
    /// such structure or member, and for bit fields.
    pub fn offset_of(&self, structure: &str, member: &str) -> Result<Option<u32>, BtfError> {
        let candidates = self.find(structure, &[kind::STRUCT])?;
        Self::agree(&candidates, structure, member, |head| {
            self.path_offset(head, member)
        })
    }

    fn path_offset(&self, structure: TypeHead, path: &str) -> Result<Option<u32>, BtfError> {
        let mut head = structure;
        let mut bits = 0_u32;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let Some((offset, type_id)) = self.member(head, part.as_bytes(), DEPTH_MAX)? else {
                return Ok(None);
            };
            bits = bits
                .checked_add(offset)
                .ok_or(BtfError::Malformed("an offset out of range"))?;
            if parts.peek().is_some() {
                head = self.resolve(type_id)?;
            }
        }
        Ok(if bits.is_multiple_of(8) {
            Some(bits / 8)
        } else {
            None
        })
    }

    /// A member's offset in bits, and its type. Looks into anonymous members.
    fn member(&self, head: TypeHead, name: &[u8], depth: u32) -> Result<Option<(u32, u32)>, BtfError> {
        if !matches!(head.kind, kind::STRUCT | kind::UNION) || depth == 0 {
            return Ok(None);
        }
        for index in 0..head.count {
            let at = head.at + 12 + index * 12;
            let member_name = self.name(read_u32(&self.bytes, at)?)?;
            let type_id = read_u32(&self.bytes, at + 4)?;
            let raw = read_u32(&self.bytes, at + 8)?;
            let (offset, width) = if head.kind_flag {
                (raw & 0x00ff_ffff, raw >> 24)
            } else {
                (raw, 0)
            };
            if member_name == name {
                return Ok(if width == 0 { Some((offset, type_id)) } else { None });
            }
            if member_name.is_empty()
                && let Some((inner, inner_type)) = self.member(self.resolve(type_id)?, name, depth - 1)?
            {
                return Ok(Some((offset.saturating_add(inner), inner_type)));
            }
        }
        Ok(None)
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, id: u32) -> Result<TypeHead, BtfError> {
        let mut head = self.head(id)?;
        for _ in 0..DEPTH_MAX {
            match head.kind {
                kind::TYPEDEF | kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {
                    head = self.head(head.size_or_type)?;
                }
                _ => return Ok(head),
            }
        }
        Err(BtfError::Malformed("a loop of typedefs"))
    }

    /// The id of a structure that has this member.
    pub fn structure_with(&self, structure: &str, member: &str) -> Result<Option<u32>, BtfError> {
        let ids = self
            .named
            .get(structure.as_bytes())
            .map_or(&[][..], Vec::as_slice);
        for &id in ids {
            let head = self.head(id)?;
            if head.kind == kind::STRUCT && self.path_offset(head, member)?.is_some() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The id of a function. Looks at every type, since functions are asked for once or twice and are many.
    pub fn function(&self, name: &str) -> Result<Option<u32>, BtfError> {
        for (at, id) in self.types.iter().zip(1_u32..) {
            let head = self.head_at(*at as usize)?;
            if head.kind == kind::FUNC && self.name(head.name)? == name.as_bytes() {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The size of a structure, in bytes.
    pub fn size_of(&self, structure: &str) -> Result<Option<u32>, BtfError> {
        let candidates = self.find(structure, &[kind::STRUCT])?;
        Self::agree(&candidates, structure, "its size", |head| {
            Ok(Some(head.size_or_type))
        })
    }

    /// The value of an enumerator.
    pub fn enum_value(&self, enumeration: &str, enumerator: &str) -> Result<Option<u32>, BtfError> {
        let candidates = self.find(enumeration, &[kind::ENUM])?;
        Self::agree(&candidates, enumeration, enumerator, |head| {
            for index in 0..head.count {
                let at = head.at + 12 + index * 8;
                if self.name(read_u32(&self.bytes, at)?)? == enumerator.as_bytes() {
                    return read_u32(&self.bytes, at + 4).map(Some);
                }
            }
            Ok(None)
        })
    }

    /// The type by which a `tp_btf` program names this tracepoint.
    #[must_use]
    pub fn tracepoint(&self, name: &str) -> Option<u32> {
        let ids = self.named.get(format!("btf_trace_{name}").as_bytes())?;
        ids.first().copied()
    }

    /// Whether the kernel has this tracepoint for `tp_btf` programs: each has a typedef.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.named.contains_key(format!("btf_trace_{name}").as_bytes())
    }
}

fn read_u32(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .map(|word| u32::from_ne_bytes(*word))
        .ok_or(BtfError::Malformed("cut"))
}

#[cfg(test)]
mod tests;
