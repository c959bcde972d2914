//! `fd.*` and `fs.path.*`: the file that an event is about; of sockets, see `socket`.

use sensor_common::record::flags;
use sensor_rules::{event::Value, field::Field};

use super::{View, descriptor, parameters, text};
use crate::event::{Body, Open, PathCall};

/// `include/uapi/linux/stat.h`
const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;

impl View<'_> {
    pub(super) fn fd_value<'b>(&'b self, field: Field, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        match &self.event.body {
            Body::Open(open) => self.file_value(open, field),
            Body::Socket(copied) if descriptor::is_file(self.event.call(), &copied.fixed) => {
                self.copied_value(copied, field, buf)
            }
            Body::Socket(connect) => self.socket_value(connect, field, buf),
            Body::Path(call) => Self::path_call_value(call, field),
            Body::Fork(_) | Body::Exec(_) | Body::Exit(_) | Body::Identity(_) | Body::Plain(_) => None,
        }
    }

    /// The path: as the kernel resolved it or, of a call that failed, as the caller gave it.
    pub(super) fn path<'b>(open: &'b Open<'b>) -> &'b [u8] {
        if open.path.is_empty() {
            open.given
        } else {
            open.path
        }
    }

    fn file_value<'b>(&'b self, open: &'b Open<'b>, field: Field) -> Option<Value<'b>> {
        let path = Self::path(open);
        let slash = memchr::memrchr(b'/', path);
        let is_open = open.fixed.result >= 0;
        let is_folder = open.fixed.file.mode & S_IFMT == S_IFDIR;
        match field {
            Field::FdName | Field::FsPathName => text(path),
            Field::FdNameraw | Field::FsPathNameraw => text(open.given),
            Field::FdDirectory => text(match slash? {
                0 => b"/",
                at => &path[..at],
            }),
            Field::FdFilename => text(slash.map_or(path, |at| &path[at + 1..])),
            Field::FdNum => Some(Value::Int(open.fixed.result)),
            Field::FdType if is_open => Some(Value::Text(if is_folder { b"directory" } else { b"file" })),
            Field::FdTypechar if is_open => Some(Value::Text(if is_folder { b"d" } else { b"f" })),
            Field::FdDev if is_open => Some(Value::Int(i64::from(open.fixed.file.device))),
            Field::FdDevMajor if is_open => Some(Value::Int(i64::from(open.fixed.file.device >> 20))),
            Field::FdDevMinor if is_open => Some(Value::Int(i64::from(open.fixed.file.device & 0xf_ffff))),
            Field::FdIno if is_open => Some(Value::Int(i64::try_from(open.fixed.file.inode).ok()?)),
            Field::FdIsUpperLayer if is_open => Some(Value::Bool(self.event.has(flags::UPPER_LAYER))),
            Field::FdIsLowerLayer if is_open => Some(Value::Bool(self.event.has(flags::LOWER_LAYER))),
            _ => None,
        }
    }

    /// The names of a call about names. As in Falco, `fd.*` has a value only where the call was given an open file, or
    /// made one.
    fn path_call_value<'b>(call: &'b PathCall<'b>, field: Field) -> Option<Value<'b>> {
        let has_file = call.fixed.file.inode != 0;
        let two_names = !call.given2.is_empty();
        let slash = memchr::memrchr(b'/', call.path);
        match field {
            Field::FsPathName | Field::FsPathTarget if two_names => text(parameters::second_path(call)),
            Field::FsPathNameraw | Field::FsPathTargetraw if two_names => text(call.given2),
            Field::FsPathName => text(Self::call_path(call)),
            Field::FsPathNameraw => text(call.given),
            Field::FsPathSource if two_names => text(if call.given.is_empty() {
                call.text
            } else {
                Self::call_path(call)
            }),
            Field::FsPathSourceraw if two_names => text(if call.given.is_empty() {
                call.text
            } else {
                call.given
            }),
            Field::FdName if has_file => text(call.path),
            Field::FdNum if has_file => Some(Value::Int(i64::from(call.fixed.dirfd))),
            Field::FdFilename if has_file => text(slash.map_or(call.path, |at| &call.path[at + 1..])),
            Field::FdDirectory if has_file => text(match slash? {
                0 => b"/",
                at => &call.path[..at],
            }),
            Field::FdDev if has_file => Some(Value::Int(i64::from(call.fixed.file.device))),
            Field::FdIno if has_file => Some(Value::Int(i64::try_from(call.fixed.file.inode).ok()?)),
            _ => None,
        }
    }
}
