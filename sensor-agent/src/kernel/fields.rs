//! Where this kernel keeps the fields that the programs read.

use sensor_common::kernel_fields::{FIELD_COUNT, FIELDS, MISSING};

use super::btf::{Btf, BtfError};

/// The table that the programs get, and what is missing from it.
#[derive(Debug)]
pub struct Offsets {
    /// In the order of [`FIELDS`].
    pub values: [u32; FIELD_COUNT],
    /// The structures that the fields are members of, by their ids in BTF; in the same order.
    pub structures: [u32; FIELD_COUNT],
    /// `sizeof(struct inode)`, or [`MISSING`].
    pub inode_bytes: u32,
    /// Fields that this kernel lacks.
    pub missing: Vec<MissingField>,
}

/// A field that this kernel lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingField {
    /// Its name in the table.
    pub name: &'static str,
    /// What does not work without it; `None` when nothing does.
    pub without: Option<&'static str>,
    /// Why it is missing, when the reason is not that the kernel does not have it.
    pub reason: Option<String>,
}

/// Looks every field up.
///
/// # Errors
/// Only for BTF that cannot be read; a field that is missing or ambiguous is listed instead.
pub fn resolve(btf: &Btf) -> Result<Offsets, BtfError> {
    let mut values = [MISSING; FIELD_COUNT];
    let mut structures = [0; FIELD_COUNT];
    let mut missing = Vec::new();
    for ((spec, value), structure) in FIELDS.iter().zip(&mut values).zip(&mut structures) {
        let mut reason = None;
        for place in spec.places {
            match btf.offset_of(place.structure, place.member) {
                Ok(Some(offset)) => {
                    *value = offset;
                    *structure = btf.structure_with(place.structure, place.member)?.unwrap_or(0);
                    break;
                }
                Ok(None) => {}
                Err(error @ BtfError::Ambiguous { .. }) => reason = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        if *value == MISSING {
            missing.push(MissingField {
                name: spec.name,
                without: spec.without,
                reason,
            });
        }
    }
    let inode_bytes = btf.size_of("inode")?.unwrap_or(MISSING);
    Ok(Offsets {
        values,
        structures,
        inode_bytes,
        missing,
    })
}

/// The v1 hierarchies that tell containers apart, best first: runtimes make a cgroup for each container
/// in every one of them, but users turn off some.
const V1_SUBSYSTEMS: &[(&str, &str)] = &[
    ("memory", "memory_cgrp_id"),
    ("pids", "pids_cgrp_id"),
    ("cpu", "cpu_cgrp_id"),
    ("devices", "devices_cgrp_id"),
    ("freezer", "freezer_cgrp_id"),
];

/// The index in `css_set.subsys` of the first v1 hierarchy that this machine has mounted, or
/// [`MISSING`]. `own_cgroups` is `/proc/self/cgroup`.
pub fn v1_subsystem(btf: &Btf, own_cgroups: &str) -> Result<u32, BtfError> {
    for (name, enumerator) in V1_SUBSYSTEMS {
        let mounted = own_cgroups.lines().any(|line| {
            let mut parts = line.splitn(3, ':');
            let hierarchy = parts.next();
            hierarchy != Some("0")
                && parts
                    .next()
                    .is_some_and(|list| list.split(',').any(|one| one == *name))
        });
        if mounted && let Some(index) = btf.enum_value("cgroup_subsys_id", enumerator)? {
            return Ok(index);
        }
    }
    Ok(MISSING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::print_stdout, reason = "a test that cannot run says why")]
    fn skip() {
        println!("skip: this kernel shows no BTF");
    }

    #[test]
    fn this_kernel_has_every_field_that_all_depends_on() {
        let Ok(btf) = Btf::from_file(super::super::btf::VMLINUX.as_ref()) else {
            return skip();
        };
        let offsets = resolve(&btf).unwrap();
        let needed: Vec<_> = offsets
            .missing
            .iter()
            .filter(|field| field.without.is_none())
            .collect();
        assert!(needed.is_empty(), "missing: {needed:?}");
        assert!(
            offsets.inode_bytes > 200 && offsets.inode_bytes < 4096,
            "{}",
            offsets.inode_bytes
        );
    }

    #[test]
    fn the_v1_hierarchy_is_one_that_is_mounted() {
        let Ok(btf) = Btf::from_file(super::super::btf::VMLINUX.as_ref()) else {
            return skip();
        };
        let value = |name| btf.enum_value("cgroup_subsys_id", name).unwrap();
        let cases = [
            ("0::/init.scope\n", None),
            ("5:memory:/\n4:pids:/\n0::/\n", value("memory_cgrp_id")),
            ("4:cpuacct,cpu:/\n1:name=systemd:/\n", value("cpu_cgrp_id")),
            ("", None),
        ];
        for (cgroups, expected) in cases {
            assert_eq!(
                v1_subsystem(&btf, cgroups).unwrap(),
                expected.unwrap_or(MISSING),
                "{cgroups:?}"
            );
        }
    }
}
