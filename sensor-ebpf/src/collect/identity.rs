//! Reads calls that change who a process is: what was asked for, and who it is now.

use sensor_common::{
    kernel_fields::KernelField as F,
    kind::Kind,
    record::{IdentityCall, Span},
    syscall::Call,
};

use super::text;
use crate::{
    emit,
    kernel::{Kernel, task},
    probe::arguments::Arguments,
    scratch::Scratch,
};

/// `PR_SET_NAME` (`include/uapi/linux/prctl.h`)
const PR_SET_NAME: u64 = 15;

/// Makes a record of this kind; `None` when there is no room for it. The call is over, so the task's credentials and
/// namespaces are the new ones.
#[inline(always)]
pub(crate) fn collect(
    task: Kernel,
    kind: Kind,
    call: Call,
    arguments: &Arguments,
    result: i64,
) -> Option<Scratch> {
    let mut scratch = emit::begin_call::<IdentityCall>(task, kind, arguments.found())?;
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
    Some(scratch)
}
