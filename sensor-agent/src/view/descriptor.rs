//! Descriptors: what kind of thing they are, files of which a descriptor was copied, and `proc.stdin.*` and its like.
//!
//! What a program's first three descriptors are is the kernel's word at the exec, so it does not matter by which call a
//! socket came there. What the program itself changes later is told by `dup` alone.

use sensor_common::{
    kind::Kind,
    record::{self, flags, standard},
    syscall::Call,
};
use sensor_rules::{event::Value, field::Field};

use super::{View, call_names::TYPE_MASK, socket, text, write};
use crate::event::SocketCall;

/// Types of files (`include/uapi/linux/stat.h`).
const S_IFSOCK: u64 = 0o140_000;
const S_IFREG: u64 = 0o100_000;
const S_IFBLK: u64 = 0o060_000;
const S_IFDIR: u64 = 0o040_000;
const S_IFCHR: u64 = 0o020_000;
const S_IFIFO: u64 = 0o010_000;

/// Falco's name for what a file of this mode is; of sockets, see `socket`.
pub(super) const fn type_name(mode: u64) -> Option<&'static str> {
    Some(match mode & TYPE_MASK {
        S_IFSOCK => "socket",
        S_IFDIR => "directory",
        S_IFIFO => "pipe",
        S_IFREG | S_IFBLK | S_IFCHR => "file",
        _ => return None,
    })
}

/// Falco's letter for it.
const fn letter(mode: u64) -> &'static str {
    match mode & TYPE_MASK {
        S_IFDIR => "d",
        S_IFIFO => "p",
        S_IFREG | S_IFBLK | S_IFCHR => "f",
        _ => "o",
    }
}

/// Falco's name for what a standard descriptor is; `None` for a closed one.
fn standard_type_name(of: u16) -> Option<&'static str> {
    if of & standard::OPEN == 0 {
        return None;
    }
    match u64::from(of) & TYPE_MASK {
        S_IFSOCK => Some(socket::type_name(of & standard::FAMILY).unwrap_or("socket")),
        mode => type_name(mode),
    }
}

/// Whether a call copied the descriptor of a file that is no socket.
pub(super) fn is_file(call: Call, fixed: &record::SocketCall) -> bool {
    call.kind() == Some(Kind::Dup) && fixed.family == 0
}

impl View<'_> {
    /// What a standard descriptor is; `None` where the program's start was not seen.
    pub(super) fn standard_type(&self, fd: usize) -> Option<Value<'static>> {
        let of = self.image?.standard.types.get(fd)?;
        Some(Value::Text(standard_type_name(*of)?.as_bytes()))
    }

    /// Both ends of the connection that a standard descriptor is.
    pub(super) fn standard_ends<'b>(&self, fd: u32, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let standard = &self.image?.standard;
        if standard.is_socket >> fd & 1 == 0 {
            return None;
        }
        socket::ends(standard, buf);
        text(buf)
    }

    /// `fd.*` of a file of which a descriptor was copied. Of a call that failed it is the descriptor that was to be.
    pub(super) fn copied_value<'b>(
        &'b self,
        copied: &'b SocketCall<'b>,
        field: Field,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        let fixed = &copied.fixed;
        let [.., mode, inode, device] = fixed.args;
        match field {
            Field::FdNum => (fixed.fd >= 0).then(|| Value::Int(i64::from(fixed.fd))),
            Field::FdType => Some(Value::Text(type_name(mode)?.as_bytes())),
            Field::FdTypechar if mode != 0 => Some(Value::Text(letter(mode).as_bytes())),
            Field::FdIno if inode != 0 => Some(Value::Int(i64::try_from(inode).ok()?)),
            Field::FdDev if inode != 0 => Some(Value::Int(i64::try_from(device).ok()?)),
            Field::FdDevMajor if inode != 0 => Some(Value::Int(i64::try_from(device >> 20).ok()?)),
            Field::FdDevMinor if inode != 0 => Some(Value::Int(i64::try_from(device & 0xf_ffff).ok()?)),
            Field::FdName => {
                self.copied_name(copied, buf);
                text(buf)
            }
            Field::FdDirectory | Field::FdFilename if mode & TYPE_MASK != S_IFIFO => {
                let slash = memchr::memrchr(b'/', copied.path)?;
                text(match (field, slash) {
                    (Field::FdFilename, _) => &copied.path[slash + 1..],
                    (_, 0) => b"/",
                    _ => &copied.path[..slash],
                })
            }
            _ => None,
        }
    }

    /// A new descriptor and what it is.
    pub(super) fn copied_text(&self, copied: &SocketCall<'_>, buf: &mut Vec<u8>) {
        let letter = letter(copied.fixed.args[3]);
        write(buf, format_args!("{}(<{letter}>", copied.fixed.fd));
        self.copied_name(copied, buf);
        buf.push(b')');
    }

    /// The file's path; a pipe has none but its number.
    fn copied_name(&self, copied: &SocketCall<'_>, buf: &mut Vec<u8>) {
        let [.., mode, inode, _] = copied.fixed.args;
        if mode & TYPE_MASK == S_IFIFO && self.event.has(flags::PATH_DETACHED) {
            write(buf, format_args!("pipe:[{inode}]"));
        } else {
            buf.extend_from_slice(copied.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_descriptors_have_falcos_names() {
        for (kind, family, expected) in [
            (S_IFSOCK, 2, Some("ipv4")),
            (S_IFSOCK, 10, Some("ipv6")),
            (S_IFSOCK, 1, Some("unix")),
            (S_IFSOCK, 44, Some("socket")),
            (S_IFIFO, 0, Some("pipe")),
            (0, 0, None),
        ] {
            let of = u16::try_from(kind).unwrap() | standard::OPEN | family;
            assert_eq!(standard_type_name(of), expected, "{of:o}");
            assert_eq!(standard_type_name(of & !standard::OPEN), None, "{of:o}");
        }
    }

    #[test]
    fn files_have_falcos_names() {
        for (mode, expected) in [
            (0, None),
            (S_IFSOCK | 0o777, Some("socket")),
            (S_IFIFO | 0o600, Some("pipe")),
            (S_IFCHR | 0o620, Some("file")),
            (S_IFREG | 0o644, Some("file")),
            (S_IFDIR | 0o755, Some("directory")),
        ] {
            assert_eq!(type_name(mode), expected, "{mode:o}");
        }
    }
}
