//! Reads calls of which there are only numbers to tell, and a text at most.

use sensor_common::{
    kind::Kind,
    record::{PlainCall, Span, flags},
    syscall::{Call, NOWHERE, Places},
};

use super::text;
use crate::{
    emit,
    kernel::Kernel,
    probe::{arguments::Arguments, syscall::clone_flags},
};

/// Sends a record of this kind.
#[inline(always)]
pub(crate) fn collect(
    task: Kernel,
    kind: Kind,
    call: Call,
    places: &Places,
    arguments: &Arguments,
    result: i64,
) {
    let Some(mut scratch) = emit::begin::<PlainCall>(task, kind) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    if arguments.compat {
        scratch.flag(flags::COMPAT);
    }
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
    emit::send(scratch, task, kind);
}
