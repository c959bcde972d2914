//! `user.*` and `group.*`.
//!
//! Names come from the host's files; inside a container an id may mean somebody else, so there only root
//! has a name.

use sensor_rules::{event::Value, field::Field};

use super::{View, text};
use crate::state::users::User;

/// What Falco's rules compare with when a name is not known.
const UNKNOWN: &[u8] = b"<NA>";

impl View<'_> {
    pub(super) fn user_value(&self, field: Field) -> Option<Value<'_>> {
        let (uid, gid) = self.effective_ids();
        match field {
            Field::UserUid => Some(Value::Uint(u64::from(uid))),
            Field::GroupGid => Some(Value::Uint(u64::from(gid))),
            Field::UserName => Some(Value::Text(self.user_name(uid))),
            Field::GroupName => Some(Value::Text(self.group_name(gid))),
            Field::UserHomedir => text(&self.host_user(uid)?.home),
            Field::UserShell => text(&self.host_user(uid)?.shell),
            Field::UserLoginuid => Some(Value::Int(self.login_uid()?.map_or(-1, i64::from))),
            Field::UserLoginname => Some(Value::Text(
                self.login_uid()?.map_or(UNKNOWN, |uid| self.user_name(uid)),
            )),
            _ => None,
        }
    }

    /// Effective user and group id. They were read at the last fork or exec; a process whose real id has
    /// changed since has changed both.
    pub(crate) fn effective_ids(&self) -> (u32, u32) {
        let header = &self.event.header;
        let Some(process) = self.process else {
            return (header.uid, header.gid);
        };
        let uid = if process.uid == header.uid {
            process.identity.euid
        } else {
            header.uid
        };
        let gid = if process.gid == header.gid {
            process.identity.egid
        } else {
            header.gid
        };
        (uid, gid)
    }

    /// The audit user id; `None` inside when it was never set.
    #[expect(
        clippy::option_option,
        reason = "an unknown process, and a known one that never logged in"
    )]
    fn login_uid(&self) -> Option<Option<u32>> {
        let uid = self.process?.identity.loginuid;
        Some((uid != u32::MAX).then_some(uid))
    }

    fn is_in_container(&self) -> bool {
        self.container().is_some()
    }

    fn host_user(&self, uid: u32) -> Option<&User> {
        if self.is_in_container() {
            None
        } else {
            self.state.users.user(uid)
        }
    }

    pub(super) fn user_name(&self, uid: u32) -> &[u8] {
        if self.is_in_container() {
            return if uid == 0 { b"root" } else { UNKNOWN };
        }
        self.state.users.user_name(uid).unwrap_or(UNKNOWN)
    }

    pub(super) fn group_name(&self, gid: u32) -> &[u8] {
        if self.is_in_container() {
            return if gid == 0 { b"root" } else { UNKNOWN };
        }
        self.state.users.group_name(gid).unwrap_or(UNKNOWN)
    }
}
