use std::{fmt::Write as _, fs};

use proptest::prelude::*;

use super::*;

const APK: &[u8] = b"C:Q1abc=\nP:musl\nV:1.2.5-r0\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nZ:Q1x=\n\nP:busybox\nV:1.36.1-r29\nF:bin\nR:busybox\nF:etc\nR:securetty\nF:usr/sbin\n\n";

/// A system with these files.
fn system(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let root = Root::at(folder.path()).unwrap();
    (folder, root)
}

fn owned(name: &str) -> Packaged {
    Packaged::Owned(name.into())
}

#[test]
fn the_database_of_a_root_says_whose_a_file_is() {
    let dpkg: &[(&str, &[u8])] = &[
        (
            "var/lib/dpkg/info/coreutils.list",
            b"/.\n/bin\n/bin/ls\n/usr/bin/env\n",
        ),
        (
            "var/lib/dpkg/info/libc6:amd64.list",
            b"/lib/x86_64-linux-gnu/ld.so",
        ),
        ("var/lib/dpkg/info/libc6:amd64.md5sums", b"00  usr/bin/none\n"),
        ("var/lib/dpkg/info/bad name.list", b"/usr/bin/bad\n"),
    ];
    let distroless: &[(&str, &[u8])] = &[
        ("var/lib/dpkg/status.d/base", b"Package: base\n"),
        (
            "var/lib/dpkg/status.d/base.md5sums",
            b"d41d8cd98f00b204e9800998ecf8427e  usr/bin/env\n",
        ),
    ];
    let apk: &[(&str, &[u8])] = &[("lib/apk/db/installed", APK)];
    for (files, path, expected) in [
        (dpkg, "/bin/ls", owned("coreutils")),
        (dpkg, "/usr/bin/env", owned("coreutils")),
        (dpkg, "/lib/x86_64-linux-gnu/ld.so", owned("libc6")),
        (dpkg, "/usr/bin/none", Packaged::Unowned),
        (dpkg, "/bin/l", Packaged::Unowned),
        (dpkg, "/usr/bin/ls", Packaged::Unowned),
        (dpkg, "/usr/bin/bad", Packaged::Unknown),
        (distroless, "/usr/bin/env", owned("base")),
        (distroless, "/usr/bin/en", Packaged::Unowned),
        (apk, "/bin/busybox", owned("busybox")),
        (apk, "/lib/ld-musl-x86_64.so.1", owned("musl")),
        (apk, "/lib/busybox", Packaged::Unowned),
        (apk, "busybox", Packaged::Unowned),
        (&[], "/bin/ls", Packaged::Unknown),
    ] {
        let (_folder, root) = system(files);
        assert_eq!(owner(&root, Path::new(path)), expected, "{path}");
    }
}

#[test]
fn a_package_may_name_its_file_as_it_was_before_bin_became_a_link() {
    let (folder, root) = system(&[("var/lib/dpkg/info/coreutils.list", b"/bin/ls\n")]);
    assert_eq!(owner(&root, Path::new("/usr/bin/ls")), Packaged::Unowned);
    std::os::unix::fs::symlink("usr/bin", folder.path().join("bin")).unwrap();
    assert_eq!(owner(&root, Path::new("/usr/bin/ls")), owned("coreutils"));
}

/// This machine's own database knows what this machine's own packages say.
#[test]
fn this_machines_own_shell_has_a_package() {
    let Ok(said) = std::process::Command::new("dpkg")
        .args(["-S", "/bin/bash"])
        .output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let Some((package, _)) = said.split_once(':') else {
        return;
    };
    let shell = fs::canonicalize("/bin/bash").unwrap();
    assert_eq!(owner(&Root::at(Path::new("/")).unwrap(), &shell), owned(package));
}

proptest! {
    /// Any bytes are a database, and a path that is in none of its lines is nobody's.
    #[test]
    fn any_bytes_are_searched(text in prop::collection::vec(any::<u8>(), 0..300), lines in "([PFRVZ]:[a-z/]{0,8}\n?\n){0,40}", path in "/[a-z/]{0,8}") {
        for bytes in [&text[..], lines.as_bytes()] {
            if let Some(package) = apk_owner(bytes, path.as_bytes()) {
                prop_assert!(memchr::memmem::find(bytes, package).is_some());
            }
            let expected = bytes.split(|byte| *byte == b'\n').any(|line| line == path.as_bytes());
            prop_assert_eq!(has_line(bytes, path.as_bytes()), expected);
            has_sum(bytes, path.as_bytes());
        }
    }

    /// What apk's manual says is found.
    #[test]
    fn files_of_apk_are_found(packages in prop::collection::btree_map("[a-z]{1,8}", prop::collection::btree_map("[a-z]{1,4}", "[a-z]{1,6}", 1..4), 1..6)) {
        let mut text = String::new();
        for (package, folders) in &packages {
            let _ = write!(text, "P:{package}\nV:1\n");
            for (folder, file) in folders {
                let _ = write!(text, "F:{package}/{folder}\nR:{file}\na:0:0:755\n");
            }
            text.push('\n');
        }
        for (package, folders) in &packages {
            for (folder, file) in folders {
                let path = format!("/{package}/{folder}/{file}");
                prop_assert_eq!(apk_owner(text.as_bytes(), path.as_bytes()), Some(package.as_bytes()));
            }
        }
    }
}
