//! How facts and processes are written in a recording: JSON, in which text that is not UTF-8 is a list of bytes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use sensor_common::record::{FileId, Identity, Standard};

/// Text that need not be UTF-8.
pub(crate) mod bytes {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => bytes.serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[u8]>, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(text) => text.into_bytes().into(),
            Form::Bytes(bytes) => bytes.into(),
        })
    }
}

/// What is shared.
pub(crate) mod shared {
    use std::sync::Arc;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, T: Serialize>(
        value: &Arc<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (**value).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

/// Names by id, sorted, so that equal tables are written alike.
pub(crate) mod names {
    use super::{Deserialize, Deserializer, Serializer};
    use crate::state::users::{Names, User};

    pub(crate) fn serialize<S: Serializer>(names: &Names, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sorted: Vec<(&u32, &User)> = names.iter().collect();
        sorted.sort_by_key(|(id, _)| **id);
        serializer.collect_seq(sorted)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        Ok(Vec::<(u32, User)>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

/// The names that runtimes have in facts and cgroups. One that is not among them is told as unknown.
pub(crate) mod runtime {
    use std::borrow::Cow;

    use super::{Deserialize, Deserializer, Serializer};
    use crate::state::container::RUNTIMES;

    pub(crate) fn serialize<S: Serializer>(name: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Ok(RUNTIMES
            .into_iter()
            .find(|known| *known == name)
            .unwrap_or_default())
    }
}

/// Why facts are missing. A reason that this sensor does not know is told as such.
pub(crate) mod reason {
    use std::borrow::Cow;

    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use crate::runtime::socket::REASONS;

    const OTHER: &str = "the sensor that recorded knew why";

    pub(crate) fn serialize<S: Serializer, T: Serialize>(
        reason: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        reason.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<&'static str>, D::Error> {
        let reason = Option::<Cow<'_, str>>::deserialize(deserializer)?;
        Ok(reason.map(|reason| {
            REASONS
                .into_iter()
                .find(|known| *known == reason)
                .unwrap_or(OTHER)
        }))
    }
}

/// [`FileId`], whose crate knows no serde.
#[derive(Serialize, Deserialize)]
#[serde(remote = "FileId")]
pub(crate) struct FileIdForm {
    inode: u64,
    device: u32,
    mode: u32,
    uid: u32,
    links: u32,
    ctime_ns: u64,
    mtime_ns: u64,
}

/// [`Standard`], whose crate knows no serde.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Standard")]
pub(crate) struct StandardForm {
    types: [u16; 3],
    is_socket: u16,
    family: u16,
    local_port: u16,
    remote_port: u16,
    reserved: u16,
    local_address: [u8; 16],
    remote_address: [u8; 16],
}

/// [`Identity`], whose crate knows no serde.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Identity")]
pub(crate) struct IdentityForm {
    parent_tgid: u32,
    vpid: u32,
    parent_start_time_ns: u64,
    cap_effective: u64,
    cap_permitted: u64,
    cap_inheritable: u64,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    loginuid: u32,
    sid: u32,
    pgid: u32,
    tty: u32,
    mount_ns: u32,
    pid_ns: u32,
    net_ns: u32,
    user_ns: u32,
}
