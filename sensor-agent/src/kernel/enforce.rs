//! The kernel side of rules that deny or kill: its programs, its tests, and what it counts.

use std::{collections::BTreeMap, fs::File, os::unix::fs::MetadataExt as _, path::Path};

use aya::{
    Btf, Ebpf, Endianness,
    maps::{
        Array, HashMap, Map, MapData,
        lpm_trie::{Key, LpmTrie},
    },
    programs::{CgroupAttachMode, Lsm, Program, ProgramError},
};
use sensor_common::{
    enforce::{DENY_PATHS_MAX, DENY_TESTS_MAX, DenyCounts, DenyMode, DenyTest, PATH_KEY_BYTES, operations},
    hook::Hook,
    kind::Kind,
};

use super::{
    btf::VMLINUX,
    load::{LoadError, take_map, told},
    memory,
};
use crate::enforce::{DenyRule, entries};

/// [`DenyTest`] as a map's value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct TestValue(DenyTest);

// SAFETY: four u64 and twelve u32 without padding; every bit pattern is a value.
unsafe impl aya::Pod for TestValue {}

/// [`DenyCounts`] as a map's value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct CountsValue(DenyCounts);

// SAFETY: six u64 without padding; every bit pattern is a value.
unsafe impl aya::Pod for CountsValue {}

/// A path padded with zeros, as the tables' keys have it.
type PathKey = [u8; PATH_KEY_BYTES];

/// The programs on cgroups.
const CONNECT: [&str; 2] = ["enforce_connect4", "enforce_connect6"];
const BIND: [&str; 2] = ["enforce_bind4", "enforce_bind6"];

/// The LSM programs: the operations that need it, its name, its hook.
const LSM: [(u32, &str, Hook); 2] = [
    (
        operations::EXECVE | operations::EXECVEAT,
        "deny_exec",
        Hook::LsmExec,
    ),
    (operations::OPEN, "deny_open", Hook::LsmOpen),
];

/// Which LSMs the kernel asks.
const ACTIVE_LSMS: &str = "/sys/kernel/security/lsm";

/// Rules that deny or kill, attached. What is attached goes when the programs go.
pub struct Enforcement {
    rules: Vec<DenyRule>,
    tests: Array<MapData, TestValue>,
    counts: Array<MapData, CountsValue>,
    cgroups: HashMap<MapData, u64, u64>,
    modes: Vec<DenyMode>,
}

/// What the rules need: the operations that are denied and, apart, those that are killed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) denies: u32,
    pub(super) kills: u32,
}

impl Needs {
    pub(super) fn of(rules: &[DenyRule]) -> Self {
        let mut needs = Self::default();
        for test in rules.iter().flat_map(|rule| &rule.tests) {
            if test.test.kills == 0 {
                needs.denies |= test.test.operations;
            } else {
                needs.kills |= test.test.operations;
            }
        }
        needs
    }

    /// The hooks that are attached for them.
    pub(super) fn hooks(self) -> impl Iterator<Item = (Hook, Kind)> {
        let connects = (self.denies | self.kills) & operations::CONNECT != 0;
        let binds = (self.denies | self.kills) & operations::BIND != 0;
        [
            (binds, Hook::PostBind4, Kind::Bind),
            (binds, Hook::PostBind6, Kind::Bind),
            (connects, Hook::Connect4, Kind::Connect),
            (connects, Hook::Connect6, Kind::Connect),
            (self.denies & LSM[0].0 != 0, Hook::LsmExec, Kind::ExecFailed),
            (self.denies & LSM[1].0 != 0, Hook::LsmOpen, Kind::Open),
        ]
        .into_iter()
        .filter_map(|(is_needed, hook, kind)| is_needed.then_some((hook, kind)))
    }
}

/// Loads and attaches the programs that the rules need; every rule observes until it is told to act.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: Option<&Path>,
    rules: &[DenyRule],
    root: &Path,
    limit: u64,
    protected: &[std::path::PathBuf],
) -> Result<Enforcement, LoadError> {
    let mut of_limit: Array<_, u64> = Array::try_from(take_map(ebpf, "DENY_LIMIT")?)?;
    of_limit.set(0, limit, 0)?;
    let mut of_protected: HashMap<_, u64, u32> = HashMap::try_from(take_map(ebpf, "DENY_PROTECTED")?)?;
    for path in protected {
        let inside = path.strip_prefix("/").unwrap_or(path);
        let folder = root.join(inside);
        let id = std::fs::metadata(&folder)
            .map_err(|error| cannot(&error, &folder))?
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
    let tests = || rules.iter().flat_map(|rule| &rule.tests);
    write_paths(
        take_map(ebpf, "DENY_PROGRAMS")?,
        entries(tests().map(|test| (test.test.number, &test.programs[..]))),
    )?;
    write_paths(
        take_map(ebpf, "DENY_FILES")?,
        entries(tests().map(|test| (test.test.number, &test.files[..]))),
    )?;
    let needs = Needs::of(rules);
    if (needs.denies | needs.kills) & operations::CONNECT != 0 {
        for name in CONNECT {
            attach_cgroup(ebpf, root, name)?;
        }
    }
    if (needs.denies | needs.kills) & operations::BIND != 0 {
        for name in BIND {
            attach_cgroup(ebpf, root, name)?;
        }
    }
    let is_needed = |wanted: u32| needs.denies & wanted != 0;
    if LSM.iter().any(|(wanted, ..)| is_needed(*wanted)) {
        // Read anew, since the kernel's types are too large to be kept.
        let types = Btf::parse_file(btf.unwrap_or_else(|| Path::new(VMLINUX)), Endianness::default())?;
        for (wanted, name, hook) in LSM {
            if is_needed(wanted) {
                attach_lsm(ebpf, &types, name, hook)?;
            }
        }
        drop(types);
        memory::give_back();
    }
    // Last, since it is what makes programs ask at all.
    let mut wanted: Array<_, u32> = Array::try_from(take_map(ebpf, "DENY_OPERATIONS")?)?;
    wanted.set(0, needs.denies | needs.kills << operations::KILL_SHIFT, 0)?;
    Ok(enforcement)
}

fn cannot(source: &std::io::Error, path: &Path) -> LoadError {
    LoadError::Enforce(format!("{}: {source}", path.display()))
}

fn write_paths(map: Map, entries: BTreeMap<Vec<u8>, u64>) -> Result<(), LoadError> {
    if entries.len() > DENY_PATHS_MAX as usize {
        return Err(LoadError::Enforce(format!(
            "rules that deny or kill name {} paths; there is room for {DENY_PATHS_MAX}",
            entries.len()
        )));
    }
    let mut trie: LpmTrie<_, PathKey, u64> = LpmTrie::try_from(map)?;
    for (bytes, tests) in entries {
        let mut path = [0; PATH_KEY_BYTES];
        let room = path.get_mut(..bytes.len());
        room.ok_or(LoadError::Absent("room for a path"))?
            .copy_from_slice(&bytes);
        let bits = u32::try_from(bytes.len() * 8).unwrap_or(u32::MAX);
        trie.insert(&Key::new(bits, path), tests, 0)?;
    }
    Ok(())
}

fn attach_cgroup(ebpf: &mut Ebpf, root: &Path, name: &'static str) -> Result<(), LoadError> {
    let cgroup = File::open(root).map_err(|error| cannot(&error, root))?;
    // A link stands beside others in any case, and takes no flag that says so (`cgroup_bpf_link_attach`,
    // kernel/bpf/cgroup.c).
    let mode = CgroupAttachMode::Single;
    let attached = match ebpf.program_mut(name).ok_or(LoadError::Absent(name))? {
        Program::CgroupSockAddr(program) => program
            .load()
            .and_then(|()| program.attach(&cgroup, mode).map(drop)),
        Program::CgroupSock(program) => program
            .load()
            .and_then(|()| program.attach(&cgroup, mode).map(drop)),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    attached.map_err(|source| LoadError::Program {
        program: name,
        source,
    })
}

/// Loads and attaches an LSM program. The kernel takes one also where it never asks BPF, so that is looked at first.
fn attach_lsm(ebpf: &mut Ebpf, types: &Btf, name: &'static str, hook: Hook) -> Result<(), LoadError> {
    let refused = |reason: String| {
        LoadError::Enforce(format!(
            "{} is where programs and files are denied, and {reason}; `action: kill` needs no LSM",
            hook.name()
        ))
    };
    let active = std::fs::read_to_string(ACTIVE_LSMS).map_err(|error| {
        refused(format!(
            "which LSMs the kernel asks cannot be read: {ACTIVE_LSMS}: {error}"
        ))
    })?;
    if !active.trim().split(',').any(|lsm| lsm == "bpf") {
        return Err(refused(format!(
            "this kernel does not ask BPF: boot it with lsm={},bpf",
            active.trim()
        )));
    }
    let program: &mut Lsm = ebpf
        .program_mut(name)
        .ok_or(LoadError::Absent(name))?
        .try_into()
        .map_err(|error: ProgramError| refused(error.to_string()))?;
    let function = hook.name().trim_start_matches("lsm/");
    program
        .load(function, types)
        .map_err(|error| refused(told(&error)))?;
    program.attach().map_err(|error| refused(told(&error)))?;
    Ok(())
}

impl Enforcement {
    /// The rules, in the order of their numbers.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Sets what each rule does, in the rules' order; operations that are being decided fall on either side.
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
                        ..test.test
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
