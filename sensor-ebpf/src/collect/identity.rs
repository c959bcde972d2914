//! Reads calls that change who a process is: what was asked for, and who it is now.

use sensor_common::{
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{IdentityCall, Span, flags},
    syscall::Call,
};

use super::text;
use crate::{
    emit,
    kernel::{Kernel, task},
    probe::arguments::Arguments,
};

/// `PR_SET_NAME` (`include/uapi/linux/prctl.h`)
const PR_SET_NAME: u64 = 15;

/// Sends a record of this kind. The call is over, so the task's credentials and namespaces are the new ones.
#[inline(always)]
pub(crate) fn collect(task: Kernel, kind: Kind, call: Call, arguments: &Arguments, result: i64) {
    let Some(mut scratch) = emit::begin::<IdentityCall>(task, kind) else {
        return;
    };
    emit::describe_current(&mut scratch, task);
    if arguments.compat {
        scratch.flag(flags::COMPAT);
    }
    let args = arguments.all();
    let fixed = scratch.fixed::<IdentityCall>();
    fixed.result = result;
    fixed.args = args;
    fixed.call = call as u32;
    fixed.text = Span::default();
    fixed.uid = 0;
    fixed.gid = 0;
    task::identity(task, &mut fixed.identity);
    if let Some(cred) = task.follow(F::task_cred) {
        fixed.uid = cred.read_or_default(F::cred_uid);
        fixed.gid = cred.read_or_default(F::cred_gid);
    }
    if matches!(call, Call::Prctl) && args[0] == PR_SET_NAME {
        let span = text::append_user(&mut scratch, args[1]);
        scratch.fixed::<IdentityCall>().text = span;
    }
    emit::send(scratch, task, kind);
}
