//! The rules that are measured.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sensor_rules::engine::{RuleMatching, RuleSet, RuleSetBuilder};
use sensor_rules::field::Catalogue;
use sensor_rules::load::{LoadOptions, Loader};

/// A file's name and content.
pub(crate) type File = (String, String);

/// What generated rules have in common: macros as everyone's rules have them.
const COMMON: &str = "
- list: shells
  items: [bash, sh, dash, zsh, ksh, csh, fish]
- list: package_managers
  items: [dpkg, apt, apt-get, rpm, yum, dnf, apk, pip, npm]
- macro: spawned
  condition: (evt.type in (execve, execveat))
- macro: open_read
  condition: (evt.type in (open, openat, openat2) and evt.is_open_read=true and fd.typechar='f' and fd.num>=0)
- macro: open_write
  condition: (evt.type in (open, openat, openat2) and evt.is_open_write=true and fd.typechar='f' and fd.num>=0)
- macro: outbound
  condition: (evt.type=connect and fd.typechar in (4, 6) and not fd.snet in (127.0.0.0/8))
- macro: in_container
  condition: (container.id != host)
- macro: by_package_manager
  condition: (proc.name in (package_managers) or proc.aname[2] in (package_managers))
";

/// Loads files; fails with what is wrong with any.
pub(crate) fn load(files: &[File]) -> RuleSet {
    let mut loader = Loader::new(LoadOptions {
        rule_matching: RuleMatching::First,
        ..LoadOptions::default()
    });
    for (name, content) in files {
        let result = loader.add_file(name, content.as_bytes());
        assert!(result.errors.is_empty(), "{name}: {:?}", result.errors);
    }
    loader.finish().rule_set.expect("the rules load")
}

/// Loads groups of files each for itself, and puts their rules into one set.
pub(crate) fn load_apart(groups: &[&[File]]) -> RuleSet {
    let mut builder = RuleSetBuilder::new(Catalogue::new(), RuleMatching::First);
    for group in groups {
        for rule in load(group).rules() {
            builder.add(rule.clone()).expect("the rule compiled before");
        }
    }
    builder.build()
}

/// So many rules of eight kinds, in the style of real ones.
pub(crate) fn generated(count: usize) -> String {
    let mut text = COMMON.to_owned();
    for n in 0..count {
        let condition = match n % 8 {
            0 => format!("spawned and in_container and proc.name in (tool{n}, tool{n}-cli)"),
            1 => format!("open_write and fd.name startswith /etc/app{n}/ and not by_package_manager"),
            2 => format!(
                "open_read and fd.name in (/etc/secret{n}, /root/.secret{n}) and not proc.exepath in (/usr/sbin/sshd)"
            ),
            3 => format!("spawned and proc.cmdline contains \"--option-{n}\" and not proc.pname in (shells)"),
            4 => format!(
                "outbound and fd.sport in ({}, {}) and not fd.snet in (10.0.0.0/8)",
                20_000 + n,
                40_000 + n
            ),
            5 => format!("open_read and fd.directory in (/srv/{n}/keys) and not proc.aname[2] in (shells)"),
            6 => format!(
                "spawned and proc.pname in (httpd, nginx, server{n}) and proc.name in (shells) and proc.args contains part{n}"
            ),
            _ => {
                format!("open_write and in_container and fd.name endswith .locked{n} and user.name != backup")
            }
        };
        let _ = write!(
            text,
            "- rule: Rule {n}\n  desc: generated\n  condition: >\n    {condition}\n  output: '%proc.cmdline %fd.name'\n  priority: WARNING\n"
        );
    }
    text
}

/// Rules with a long list each, by what they ask of it.
pub(crate) fn long_lists(count: usize) -> Vec<(&'static str, String)> {
    let rule = |items: &dyn Fn(usize) -> String, condition: &str| {
        let items: Vec<_> = (0..count).map(items).collect();
        format!(
            "- list: long\n  items: [{}]\n- rule: r\n  desc: d\n  condition: {condition}\n  output: o\n  priority: INFO\n",
            items.join(", ")
        )
    };
    let address = |n: usize| format!("{}.{}.{}", 11 + n / 65_536, n / 256 % 256, n % 256);
    let any = "evt.type in (execve, openat, connect)";
    vec![
        (
            "in, names",
            rule(&|n| format!("name{n}"), &format!("{any} and proc.name in (long)")),
        ),
        (
            "in, paths",
            rule(
                &|n| format!("/usr/lib/x{n}/tool"),
                &format!("{any} and proc.exepath in (long)"),
            ),
        ),
        (
            "pmatch",
            rule(
                &|n| format!("/usr/lib/x{n}"),
                &format!("{any} and proc.exepath pmatch (long)"),
            ),
        ),
        (
            "in, networks",
            rule(
                &|n| format!("\"{}.0/24\"", address(n)),
                "evt.type = connect and fd.snet in (long)",
            ),
        ),
        (
            "in, addresses",
            rule(
                &|n| format!("{}.7", address(n)),
                "evt.type = connect and fd.sip in (long)",
            ),
        ),
    ]
}

/// The rules of this repository.
pub(crate) fn own() -> Vec<File> {
    let mut paths = Vec::new();
    collect(&repository().join("rules"), &mut paths);
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Falco's stable rules, from `$SENSOR_SHARED` or from a folder `shared` beside the repository or its worktrees.
pub(crate) fn stable() -> Option<File> {
    let above = repository()
        .ancestors()
        .skip(1)
        .take(2)
        .map(|above| above.join("shared"));
    let named = std::env::var_os("SENSOR_SHARED").map(PathBuf::from);
    let file = named
        .into_iter()
        .chain(above)
        .map(|shared| shared.join("falco-rules/falco_rules.yaml"));
    file.into_iter()
        .find(|file| file.is_file())
        .map(|file| read(&file))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        let name = path.to_string_lossy();
        if path.is_dir() {
            collect(&path, paths);
        } else if name.ends_with(".yaml") && !name.ends_with(".test.yaml") {
            paths.push(path);
        }
    }
}

fn read(path: &Path) -> File {
    let content = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path.display().to_string(), content)
}
