//! `/etc/passwd` and `/etc/group` of a container, within bounds: it may write there what it likes.

use super::{User, Users};

/// Users, and groups, of one container that are kept; the first of the file.
pub const ENTRIES_MAX: usize = 4096;

/// Longest name, folder or shell, in bytes; an entry with a longer one is left out.
pub const TEXT_BYTES_MAX: usize = 256;

impl Users {
    /// From the files' bytes: `name:password:id:...`, one a line. Any bytes give users. The first line of an id counts, as
    /// for `getpwuid`.
    #[must_use]
    pub fn within_bounds(passwd: &[u8], group: &[u8]) -> Self {
        let mut found = Self::default();
        for (id, fields) in entries(passwd) {
            let field = |index: usize| fields.get(index).copied().unwrap_or_default();
            let texts = [field(0), field(5), field(6)];
            let is_long = texts.iter().any(|text| text.len() > TEXT_BYTES_MAX);
            if is_long || found.users.len() >= ENTRIES_MAX {
                continue;
            }
            let [name, home, shell] = texts.map(Box::from);
            found.users.entry(id).or_insert(User { name, home, shell });
        }
        for (id, fields) in entries(group) {
            if fields[0].len() > TEXT_BYTES_MAX || found.groups.len() >= ENTRIES_MAX {
                continue;
            }
            found.groups.entry(id).or_insert_with(|| User {
                name: fields[0].into(),
                ..User::default()
            });
        }
        found
    }

    /// About what they take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = |user: &User| size_of::<User>() + user.name.len() + user.home.len() + user.shell.len();
        self.users.values().chain(self.groups.values()).map(bytes).sum()
    }
}

/// Id and fields of each line that has both a name and an id.
fn entries(bytes: &[u8]) -> impl Iterator<Item = (u32, Vec<&[u8]>)> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        // The fields behind the seventh are nobody's.
        let fields: Vec<_> = line.splitn(8, |byte| *byte == b':').collect();
        let id = std::str::from_utf8(fields.get(2)?).ok()?.parse().ok()?;
        (!fields[0].is_empty()).then_some((id, fields))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_line_of_an_id_counts_and_what_is_no_entry_is_passed_over() {
        let accounts = Users::within_bounds(
            b"# none\nann:x:7:7:Ann:/home/ann:/bin/sh\nagain:x:7:7::/:\nbad:x:y:0\n:x:9:9::/:\nlong:x:4294967296:0\n\nlast:x:8:8",
            b"staff:x:50:ann,bob\nother:x:50:\n",
        );
        assert_eq!(accounts.user_name(7), Some(&b"ann"[..]));
        assert_eq!(&*accounts.user(7).unwrap().shell, b"/bin/sh");
        assert_eq!(&*accounts.user(7).unwrap().home, b"/home/ann");
        assert_eq!(accounts.user_name(8), Some(&b"last"[..]));
        assert_eq!(accounts.user_name(0), Some(&b"root"[..]));
        assert_eq!((accounts.user_name(9), accounts.group_name(7)), (None, None));
        assert_eq!(accounts.group_name(50), Some(&b"staff"[..]));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let line = |id| format!("u{id}:x:{id}:0::/:\n");
        let many: Vec<_> = (1..=ENTRIES_MAX + 5).map(line).collect();
        let long = format!("{}:x:9:", "g".repeat(TEXT_BYTES_MAX + 1));
        let accounts = Users::within_bounds(many.concat().as_bytes(), long.as_bytes());
        assert_eq!(accounts.users.len(), ENTRIES_MAX);
        assert_eq!(accounts.group_name(9), None);
    }

    proptest! {
        /// Any bytes give accounts within the bounds.
        #[test]
        fn any_bytes_are_parsed(passwd in prop::collection::vec(any::<u8>(), 0..512), lines in "([a-z:0-9\\n]{0,40}){0,20}") {
            for bytes in [&passwd[..], lines.as_bytes()] {
                let accounts = Users::within_bounds(bytes, bytes);
                prop_assert!(accounts.users.len() <= ENTRIES_MAX);
                prop_assert!(accounts.bytes() <= bytes.len() * 100);
            }
        }

        /// What is written as the files' manual says is read back.
        #[test]
        fn entries_are_read_back(users in prop::collection::btree_map(1..u32::MAX, "[a-z_][a-z0-9_-]{0,31}", 0..50)) {
            let entry = |(id, name): (&u32, &String)| format!("{name}:x:{id}:{id}::/home/{name}:/bin/sh\n");
            let passwd = users.iter().map(entry).collect::<Vec<_>>().concat();
            let entry = |(id, name): (&u32, &String)| format!("{name}:x:{id}:\n");
            let group = users.iter().map(entry).collect::<Vec<_>>().concat();
            let accounts = Users::within_bounds(passwd.as_bytes(), group.as_bytes());
            for (id, name) in &users {
                prop_assert_eq!(accounts.user_name(*id), Some(name.as_bytes()));
                prop_assert_eq!(accounts.group_name(*id), Some(name.as_bytes()));
                let home = format!("/home/{name}");
                prop_assert_eq!(&*accounts.user(*id).unwrap().home, home.as_bytes());
            }
        }
    }
}
