//! `evt.arg.*`: the parameters of an event, by Falco's names and in Falco's spelling.

use sensor_common::record::flags;
use sensor_rules::{
    event::Value,
    field::{Field, FieldArg},
};

use super::{View, names, parameters, text, write};
use crate::event::{Body, Open};

/// Access mode and creation flags of `open` (`include/uapi/asm-generic/fcntl.h`).
const O_ACCMODE: u64 = 0o3;
const O_WRONLY: u64 = 0o1;
const O_RDWR: u64 = 0o2;
const O_CREAT: u64 = 0o100;
/// Without `O_DIRECTORY`, which it always comes with.
const O_TMPFILE: u64 = 0o20_000_000;
/// Permission to execute, for anyone.
const EXECUTABLE: u32 = 0o111;
/// `AT_FDCWD` (`include/uapi/linux/fcntl.h`)
pub(super) const AT_FDCWD: i32 = -100;

/// Parameters in Falco's order, which is what `evt.arg[N]` counts.
fn parameters(body: &Body<'_>, is_at: bool) -> &'static [&'static str] {
    match body {
        Body::Open(_) if is_at => &["fd", "dirfd", "name", "flags", "mode", "dev", "ino"],
        Body::Open(_) => &["fd", "name", "flags", "mode", "dev", "ino"],
        Body::Socket(_) | Body::Plain(_) | Body::Path(_) | Body::Identity(_) => &[],
        Body::Exec(_) => &[
            "res", "exe", "args", "tid", "pid", "ptid", "cwd", "comm", "tty", "flags", "uid", "filename",
        ],
        Body::Fork(_) => &[
            "res", "exe", "args", "tid", "pid", "ptid", "cwd", "comm", "uid", "gid",
        ],
        Body::Exit(_) => &["status", "ret", "sig"],
    }
}

impl View<'_> {
    /// The name of the parameter of this index.
    fn parameter_name(&self, index: usize) -> Option<&'static str> {
        match &self.event.body {
            Body::Socket(_) | Body::Path(_) | Body::Identity(_) | Body::Plain(_) => {
                Some(parameters::of(self.event.call()).get(index)?.0)
            }
            _ => self.names().get(index).copied(),
        }
    }

    fn names(&self) -> &'static [&'static str] {
        let is_at = matches!(&self.event.body, Body::Open(open) if open.fixed.dirfd != AT_FDCWD)
            || self.event_type.name().starts_with("openat");
        parameters(&self.event.body, is_at)
    }

    /// One parameter as text.
    pub(super) fn argument_text<'b>(&'b self, arg: &FieldArg, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        match arg {
            FieldArg::Key(name) => self.named_text(name, buf),
            FieldArg::Index(index) => self.named_text(self.parameter_name(*index as usize)?, buf),
            FieldArg::None => None,
        }
    }

    /// All of them, `name=value` by `name=value`.
    pub(super) fn all_arguments<'b>(&'b self, buf: &'b mut Vec<u8>) -> Value<'b> {
        let mut part = Vec::new();
        for name in (0..).map_while(|index| self.parameter_name(index)) {
            part.clear();
            if let Some(Value::Text(value)) = self.named_text(name, &mut part) {
                if !buf.is_empty() {
                    buf.push(b' ');
                }
                buf.extend_from_slice(name.as_bytes());
                buf.push(b'=');
                buf.extend_from_slice(value);
            }
        }
        Value::Text(buf)
    }

    fn named_text<'b>(&'b self, name: &str, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        match (&self.event.body, name) {
            (Body::Open(open), _) => self.open_argument(open, name, buf),
            (Body::Socket(_) | Body::Path(_) | Body::Identity(_) | Body::Plain(_), _) => {
                self.parameter_text(name, buf)
            }
            (Body::Exec(exec), "filename") => text(exec.filename),
            (Body::Exec(_) | Body::Fork(_), "res") => Some(Value::Text(b"0")),
            (Body::Exec(_) | Body::Fork(_), _) => self.process_argument(name, buf),
            (Body::Exit(exit), "ret") => write(buf, format_args!("{}", exit.code >> 8 & 0xff)),
            (Body::Exit(exit), "sig") => write(buf, format_args!("{}", exit.code & 0x7f)),
            (Body::Exit(exit), "status") => write(buf, format_args!("{}", exit.code)),
            _ => None,
        }
    }

    /// Parameters of exec and fork, which are the process's own facts.
    fn process_argument<'b>(&'b self, name: &str, buf: &'b mut Vec<u8>) -> Option<Value<'b>> {
        let field = match name {
            "exe" => Field::ProcExe,
            "args" => Field::ProcArgs,
            "cwd" => Field::ProcCwd,
            "comm" => Field::ProcName,
            "trusted_exepath" => Field::ProcExepath,
            "tid" => return write(buf, format_args!("{}", self.event.header.tid)),
            "pid" => return write(buf, format_args!("{}", self.event.header.tgid)),
            "ptid" => return write(buf, format_args!("{}", self.process?.parent?.tgid)),
            "uid" => return write(buf, format_args!("{}", self.event.header.uid)),
            "gid" => return write(buf, format_args!("{}", self.event.header.gid)),
            "flags" => return self.exe_flags(buf),
            "tty" => return write(buf, format_args!("{}", self.process?.identity.tty)),
            "loginuid" => {
                return write(
                    buf,
                    format_args!("{}", self.process?.identity.loginuid.cast_signed()),
                );
            }
            _ => return None,
        };
        self.process_value(field, &FieldArg::None, buf)
    }

    fn open_argument<'b>(
        &'b self,
        open: &'b Open<'b>,
        name: &str,
        buf: &'b mut Vec<u8>,
    ) -> Option<Value<'b>> {
        match name {
            "fd" if open.fixed.result < 0 => {
                let errno = open.fixed.result.unsigned_abs();
                write(
                    buf,
                    format_args!("{}({})", open.fixed.result, names::errno(errno).unwrap_or("?")),
                )
            }
            "fd" => {
                write(buf, format_args!("{}(<f>", open.fixed.result))?;
                buf.extend_from_slice(Self::path(open));
                buf.push(b')');
                Some(Value::Text(buf))
            }
            "dirfd" if open.fixed.dirfd == AT_FDCWD => Some(Value::Text(b"AT_FDCWD")),
            "dirfd" => write(buf, format_args!("{}", open.fixed.dirfd)),
            "name" | "path" => text(Self::path(open)),
            "flags" => {
                self.open_flags(open, buf);
                Some(Value::Text(buf))
            }
            "mode" => write(buf, format_args!("0{:o}", open.fixed.mode_given)),
            "dev" => write(buf, format_args!("{}", open.fixed.file.device)),
            "ino" => write(buf, format_args!("{}", open.fixed.file.inode)),
            _ => None,
        }
    }

    /// Flags by name, joined by `|`: what the caller gave, and what the kernel made of it.
    fn open_flags(&self, open: &Open<'_>, buf: &mut Vec<u8>) {
        let mut push = |name: &str| {
            if !buf.is_empty() {
                buf.push(b'|');
            }
            buf.extend_from_slice(name.as_bytes());
        };
        let given = open.fixed.flags_given;
        for (name, bits) in names::OPEN_FLAGS {
            if given & bits == *bits {
                push(name);
            }
        }
        push(match given & O_ACCMODE {
            O_WRONLY => "O_WRONLY",
            O_RDWR => "O_RDWR",
            _ => "O_RDONLY",
        });
        for (name, wanted) in [
            ("O_F_CREATED", flags::CREATED),
            ("FD_UPPER_LAYER", flags::UPPER_LAYER),
            ("FD_LOWER_LAYER", flags::LOWER_LAYER),
        ] {
            if self.event.has(wanted) {
                push(name);
            }
        }
    }

    /// One parameter as a number.
    pub(super) fn argument_raw(&self, arg: &FieldArg) -> Option<Value<'_>> {
        let FieldArg::Key(name) = arg else { return None };
        match (&self.event.body, name.as_str()) {
            (Body::Open(open), "fd") => Some(Value::Int(open.fixed.result)),
            (Body::Open(open), "flags") => Some(Value::Uint(open.fixed.flags_given)),
            (Body::Open(open), "mode") => Some(Value::Uint(u64::from(open.fixed.mode_given))),
            (Body::Open(open), "dev") => Some(Value::Uint(u64::from(open.fixed.file.device))),
            (Body::Open(open), "ino") => Some(Value::Uint(open.fixed.file.inode)),
            (Body::Exec(_) | Body::Fork(_), "res") => Some(Value::Int(self.result())),
            (Body::Socket(_) | Body::Path(_) | Body::Identity(_) | Body::Plain(_), name) => {
                self.parameter_number(name)
            }
            _ => None,
        }
    }

    /// `evt.is_open_read` and its like: how the file is open, which the kernel knows best.
    pub(super) fn open_class(&self, field: Field) -> Value<'static> {
        let Body::Open(open) = &self.event.body else {
            return Value::Bool(false);
        };
        let is_open = open.fixed.result >= 0;
        let mode = if is_open && open.fixed.file.inode != 0 {
            u64::from(open.fixed.file_flags) & O_ACCMODE
        } else {
            open.fixed.flags_given & O_ACCMODE
        };
        let creates = open.fixed.flags_given & (O_CREAT | O_TMPFILE) != 0;
        Value::Bool(match field {
            Field::EvtIsOpenRead => mode != O_WRONLY,
            Field::EvtIsOpenWrite => mode == O_WRONLY || mode == O_RDWR,
            Field::EvtIsOpenExec => is_open && creates && open.fixed.mode_given & EXECUTABLE != 0,
            _ => self.event.has(flags::CREATED),
        })
    }
}
