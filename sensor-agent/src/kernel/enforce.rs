//! The kernel side of rules that deny: its programs, its tests, and what it counts.

use std::{fs::File, os::unix::fs::MetadataExt as _, path::Path};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
    programs::{CgroupAttachMode, CgroupSockAddr},
};
use sensor_common::enforce::{DENY_TESTS_MAX, DenyCounts, DenyMode, DenyTest};

use super::load::{LoadError, take_map};
use crate::enforce::DenyRule;

/// [`DenyTest`] as a map's value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct TestValue(DenyTest);

// SAFETY: four u64 and eight u32 without padding; every bit pattern is a value.
unsafe impl aya::Pod for TestValue {}

/// [`DenyCounts`] as a map's value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct CountsValue(DenyCounts);

// SAFETY: five u64 without padding; every bit pattern is a value.
unsafe impl aya::Pod for CountsValue {}

/// The programs, by the names of their hooks.
const PROGRAMS: [&str; 2] = ["enforce_connect4", "enforce_connect6"];

/// Rules that deny, attached. What is attached goes when the programs go.
pub struct Enforcement {
    rules: Vec<DenyRule>,
    tests: Array<MapData, TestValue>,
    counts: Array<MapData, CountsValue>,
    cgroups: HashMap<MapData, u64, u64>,
    modes: Vec<DenyMode>,
}

/// Loads and attaches the programs at the root of the v2 hierarchy; every rule observes until it is told to
/// deny.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    rules: &[DenyRule],
    root: &Path,
    limit: u64,
    protected: &[std::path::PathBuf],
) -> Result<Enforcement, LoadError> {
    let cannot =
        |source: std::io::Error, path: &Path| LoadError::Enforce(format!("{}: {source}", path.display()));
    let mut of_limit: Array<_, u64> = Array::try_from(take_map(ebpf, "DENY_LIMIT")?)?;
    of_limit.set(0, limit, 0)?;
    let mut of_protected: HashMap<_, u64, u32> = HashMap::try_from(take_map(ebpf, "DENY_PROTECTED")?)?;
    for path in protected {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let folder = root.join(inside);
        let id = std::fs::metadata(&folder)
            .map_err(|error| cannot(error, &folder))?
            .ino();
        of_protected.insert(id, 1, 0)?;
    }
    let mut enforcement = Enforcement {
        rules: rules.to_vec(),
        tests: Array::try_from(take_map(ebpf, "DENY_TESTS")?)?,
        counts: Array::try_from(take_map(ebpf, "DENY_COUNTS")?)?,
        cgroups: HashMap::try_from(take_map(ebpf, "DENY_CGROUPS")?)?,
        modes: vec![DenyMode::Observe; rules.len()],
    };
    enforcement.write()?;
    let cgroup = File::open(root).map_err(|error| cannot(error, root))?;
    for name in PROGRAMS {
        let refused = |source| LoadError::Program {
            program: name,
            source,
        };
        let program: &mut CgroupSockAddr = ebpf
            .program_mut(name)
            .ok_or(LoadError::Absent(name))?
            .try_into()
            .map_err(refused)?;
        program.load().map_err(refused)?;
        // A link stands beside others in any case, and takes no flag that says so (`cgroup_bpf_link_attach`,
        // kernel/bpf/cgroup.c).
        program
            .attach(&cgroup, CgroupAttachMode::Single)
            .map_err(refused)?;
    }
    Ok(enforcement)
}

impl Enforcement {
    /// The rules, in the order of their numbers.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Sets what each rule does, in the rules' order; connections that are being decided fall on either side.
    pub fn set_modes(&mut self, modes: Vec<DenyMode>) -> Result<bool, LoadError> {
        if modes == self.modes {
            return Ok(false);
        }
        self.modes = modes;
        self.write()?;
        Ok(true)
    }

    /// Begins a new window: each cgroup may have its cap of denials again.
    pub fn new_window(&mut self) {
        let ids: Vec<_> = self.cgroups.keys().flatten().collect();
        for id in ids {
            // The kernel may have forgotten it first.
            let _ = self.cgroups.remove(&id);
        }
    }

    /// What was counted, in the rules' order.
    pub fn counts(&self) -> Result<Vec<DenyCounts>, LoadError> {
        (0..self.rules.len())
            .map(|number| Ok(self.counts.get(&u32::try_from(number).unwrap_or(u32::MAX), 0)?.0))
            .collect()
    }

    /// Writes all tests; those that enforce come first, since the first that denies decides.
    fn write(&mut self) -> Result<(), LoadError> {
        let mut all = Vec::new();
        for wanted in [DenyMode::Enforce, DenyMode::Observe] {
            for (rule, mode) in self.rules.iter().zip(&self.modes) {
                if *mode == wanted {
                    all.extend(rule.tests.iter().map(|test| DenyTest {
                        mode: wanted as u32,
                        ..*test
                    }));
                }
            }
        }
        all.resize(DENY_TESTS_MAX as usize, DenyTest::default());
        for (index, test) in (0..).zip(all) {
            self.tests.set(index, TestValue(test), 0)?;
        }
        Ok(())
    }
}
