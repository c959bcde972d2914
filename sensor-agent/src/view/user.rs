//! `user.*` and `group.*`.
//!
//! Ids are the host's (of the initial user namespace), as Falco has them; `user.vuid` and `group.vgid` are what the
//! process itself sees. Names come from the files of the container's own root, by the ids that are valid there; on
//! the host from the host's. A login happens on the host, so its name is the host's.

use sensor_rules::{event::Value, field::Field};

use super::{View, text};
use crate::state::{inside::InnerNames, users::User, workload::Progress};

/// What Falco's rules compare with when a name is not known.
const UNKNOWN: &[u8] = b"<NA>";

/// Fields whose values come from the container's own files.
pub(super) const fn is_inside(field: Field) -> bool {
    matches!(
        field,
        Field::UserName
            | Field::GroupName
            | Field::UserHomedir
            | Field::UserShell
            | Field::UserVuid
            | Field::GroupVgid
    )
}

impl View<'_> {
    pub(super) fn user_value(&self, field: Field) -> Option<Value<'_>> {
        let (uid, gid) = self.effective_ids();
        match field {
            Field::UserUid => Some(Value::Uint(u64::from(uid))),
            Field::GroupGid => Some(Value::Uint(u64::from(gid))),
            Field::UserVuid => {
                let user_ns = self.process?.identity.user_ns;
                Some(Value::Uint(u64::from(self.state.inside.uid_in(user_ns, uid)?)))
            }
            Field::GroupVgid => {
                let user_ns = self.process?.identity.user_ns;
                Some(Value::Uint(u64::from(self.state.inside.gid_in(user_ns, gid)?)))
            }
            Field::UserName => Some(Value::Text(self.user_name(uid))),
            Field::GroupName => Some(Value::Text(self.group_name(gid))),
            Field::UserHomedir => text(&self.user(uid)?.home),
            Field::UserShell => text(&self.user(uid)?.shell),
            Field::UserLoginuid => Some(Value::Int(self.login_uid()?.map_or(-1, i64::from))),
            Field::UserLoginname => {
                let host = &self.state.users;
                let name = self.login_uid()?.and_then(|uid| host.user_name(uid));
                Some(Value::Text(name.unwrap_or(UNKNOWN)))
            }
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

    /// The names of the container that the process is in.
    fn inner_names(&self) -> Option<&InnerNames> {
        self.state.inside.names.get(&*self.container()?.id)
    }

    /// Whether the names of the container are still looked for.
    pub(super) fn are_names_pending(&self) -> bool {
        self.container()
            .is_some_and(|container| self.state.inside.names.progress(&*container.id) == Progress::Asked)
    }

    /// Whether it is still looked for what ids mean to the process.
    pub(super) fn are_ids_pending(&self) -> bool {
        self.process.is_some_and(|process| {
            self.state.inside.namespaces.progress(&process.identity.user_ns) == Progress::Asked
        })
    }

    /// Whether a value may be missing only because nobody could look it up.
    pub(super) fn is_name_unsure(&self, field: Field) -> bool {
        match field {
            Field::UserVuid | Field::GroupVgid => self
                .process
                .is_none_or(|process| self.state.inside.uid_in(process.identity.user_ns, 0).is_none()),
            _ => self.container().is_some() && self.inner_names().is_none(),
        }
    }

    fn user(&self, uid: u32) -> Option<&User> {
        if self.container().is_some() {
            let names = self.inner_names()?;
            names.users.user(names.ids.users.inside(uid))
        } else {
            self.state.users.user(uid)
        }
    }

    pub(super) fn user_name(&self, uid: u32) -> &[u8] {
        let found = match (self.container(), self.inner_names()) {
            (Some(_), Some(names)) => names.users.user_name(names.ids.users.inside(uid)),
            (Some(_), None) => (uid == 0).then_some(&b"root"[..]),
            (None, _) => self.state.users.user_name(uid),
        };
        found.unwrap_or(UNKNOWN)
    }

    pub(super) fn group_name(&self, gid: u32) -> &[u8] {
        let found = match (self.container(), self.inner_names()) {
            (Some(_), Some(names)) => names.users.group_name(names.ids.groups.inside(gid)),
            (Some(_), None) => (gid == 0).then_some(&b"root"[..]),
            (None, _) => self.state.users.group_name(gid),
        };
        found.unwrap_or(UNKNOWN)
    }
}
