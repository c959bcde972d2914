//! Reads calls of which there are only numbers to tell, and a text at most.

use sensor_common::{
    kind::Kind,
    record::{PlainCall, Span},
    syscall::{Call, NOWHERE, Places},
};

use super::text;
use crate::{
    emit,
    kernel::{Kernel, file},
    probe::{arguments::Arguments, syscall::clone_flags},
    scratch::Scratch,
};

/// Makes a record of this kind; `None` when there is no room for it.
#[inline(always)]
pub(crate) fn collect(
    task: Kernel,
    kind: Kind,
    call: Call,
    places: &Places,
    arguments: &Arguments,
    result: i64,
) -> Option<Scratch> {
    let mut scratch = emit::begin_call::<PlainCall>(task, kind, arguments.found())?;
    let args = arguments.all();
    let fixed = scratch.fixed::<PlainCall>();
    fixed.result = result;
    fixed.args = args;
    fixed.target_start_time_ns = 0;
    fixed.target_tgid = 0;
    fixed.call = call as u32;
    fixed.text = Span::default();
    fixed.text2 = Span::default();
    if matches!(call, Call::Clone3) {
        fixed.args[0] = clone_flags(call, args[0]);
    }
    if places.text != NOWHERE {
        let address = match places.text {
            0 => args[0],
            1 => args[1],
            _ => args[2],
        };
        let span = text::append_user(&mut scratch, address);
        scratch.fixed::<PlainCall>().text = span;
    }
    if let Some(fd) = pidfd(call, &args, result) {
        let found = file::by_descriptor(task, fd).and_then(|file| file::process(file, result >= 0));
        scratch.fixed::<PlainCall>().target_tgid = found.unwrap_or(0);
    }
    Some(scratch)
}

/// The descriptor of the process that the call is about, which it had or made.
#[inline(always)]
fn pidfd(call: Call, args: &[u64; 6], result: i64) -> Option<u64> {
    match call {
        Call::PidfdOpen => Some(result as u32 as u64),
        Call::PidfdGetfd | Call::PidfdSendSignal | Call::ProcessMadvise => Some(args[0] & 0xffff_ffff),
        _ => None,
    }
}
