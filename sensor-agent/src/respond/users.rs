//! Users by name or number, from `/etc/passwd`.
//!
//! Not through the C library: a static binary has no name service, and a hook's user should not depend on a network.

use std::io;

/// Whom a program runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Finds `user`; `None` when there is no such user.
pub(crate) fn find(user: &str) -> io::Result<Option<Ids>> {
    Ok(find_in(&std::fs::read_to_string("/etc/passwd")?, user))
}

fn find_in(passwd: &str, user: &str) -> Option<Ids> {
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        let uid: u32 = parts.nth(1)?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        (name == user || user.parse() == Ok(uid)).then_some(Ids { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::{Ids, find_in};

    #[test]
    fn by_name_or_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n# note\nnobody:x:65534:65533::/:/bin/false\n";
        let nobody = Some(Ids {
            uid: 65534,
            gid: 65533,
        });
        for (user, expected) in [
            ("root", Some(Ids { uid: 0, gid: 0 })),
            ("nobody", nobody),
            ("65534", nobody),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(find_in(passwd, user), expected, "{user}");
        }
    }
}
