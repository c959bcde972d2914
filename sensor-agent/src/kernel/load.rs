//! Loading: from the embedded object to programs in the kernel, set up for this kernel.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfError, EbpfLoader, Endianness,
    maps::{Array, Map, MapData, MapError, PerCpuHashMap, ProgramArray},
    programs::{BtfTracePoint, ProgramError, ProgramFd},
};
use sensor_common::{
    counters::{LossCause, LossKey},
    filter::{PART_SLOTS, Stage},
    hook::Hook,
    kind::{Kind, Shape},
    syscall::{Call, Handler, Places, handler_of},
};

use super::{
    bpf,
    btf::{Btf, BtfError, VMLINUX},
    counters::LossMapKey,
    direct::{self, Cast},
    fields::{self, MissingField, Offsets},
    filter::Filters,
    inspect,
    integrity::Integrity,
    io_uring, memory, sockets,
    tasks::{self, Tasks},
};

/// The programs, compiled by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SENSOR_EBPF_OBJECT"));

/// What the kernel side is told before it is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// A BTF file, for kernels that show none.
    pub btf: Option<PathBuf>,
    /// Size of the ring of fork, exec and exit: a power of two, in bytes.
    pub lifecycle_ring_bytes: u32,
    /// Size of the ring of what is rare and matters by itself: a power of two, in bytes.
    pub critical_ring_bytes: u32,
    /// Size of the ring of everything else: a power of two, in bytes.
    pub activity_ring_bytes: u32,
    /// Bulk events a second that each cgroup may send; 0 for as many as it likes.
    pub cgroup_events_per_second: u32,
    /// Leave out calls that failed.
    pub drop_failed: bool,
    /// The process whose own events are left out.
    pub agent_tgid: u32,
}

/// Why the programs could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel's types cannot be had.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel's types lack fields without which nothing works.
    #[error("this kernel lacks fields that every event needs: {0}")]
    Fields(String),
    /// The kernel said no.
    #[error(
        "the kernel does not let this process load eBPF programs: run it as root, or with CAP_BPF and CAP_PERFMON ({0})"
    )]
    NotPermitted(String),
    /// The object or a map was refused.
    #[error("cannot load the eBPF object: {}", told(.0))]
    Object(#[from] EbpfError),
    /// A map was refused.
    #[error("cannot set up an eBPF map: {}", told(.0))]
    Map(#[from] MapError),
    /// A program was refused.
    #[error("the kernel refused the program {program}: {source}")]
    Program {
        /// Its name in the object.
        program: &'static str,
        /// What the kernel said, with the verifier's log.
        source: ProgramError,
    },
    /// What rules deny cannot be set up.
    #[error("cannot set up what rules deny: {0}")]
    Enforce(String),
    /// The object in this binary lacks a part: a build fault.
    #[error("the embedded eBPF object has no {0}")]
    Absent(&'static str),
    /// aya could not read the types.
    #[error("cannot read the kernel's types: {0}")]
    AyaBtf(#[from] aya::BtfError),
}

/// A program of the object: its name there, and the tracepoint it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSpec {
    /// Name in the object.
    pub name: &'static str,
    /// Tracepoint.
    pub tracepoint: &'static str,
}

/// Processes: always attached.
pub const LIFECYCLE: [ProgramSpec; 3] = [
    ProgramSpec {
        name: "sched_process_fork",
        tracepoint: "sched_process_fork",
    },
    ProgramSpec {
        name: "sched_process_exec",
        tracepoint: "sched_process_exec",
    },
    ProgramSpec {
        name: "sched_process_exit",
        tracepoint: "sched_process_exit",
    },
];

/// The dispatcher at the exit of system calls: attached while a rule needs it.
pub const DISPATCHER: ProgramSpec = ProgramSpec {
    name: "sys_exit",
    tracepoint: "sys_exit",
};

/// What the dispatcher goes on to.
const HANDLERS: [(ProgramSpec, Handler); 8] = [
    (
        ProgramSpec {
            name: "exit_dup",
            tracepoint: "sys_exit",
        },
        Handler::Dup,
    ),
    (
        ProgramSpec {
            name: "exit_socket",
            tracepoint: "sys_exit",
        },
        Handler::Socket,
    ),
    (
        ProgramSpec {
            name: "exit_socketcall",
            tracepoint: "sys_exit",
        },
        Handler::SocketCall,
    ),
    (
        ProgramSpec {
            name: "exit_path",
            tracepoint: "sys_exit",
        },
        Handler::Path,
    ),
    (
        ProgramSpec {
            name: "exit_identity",
            tracepoint: "sys_exit",
        },
        Handler::Identity,
    ),
    (
        ProgramSpec {
            name: "exit_open",
            tracepoint: "sys_exit",
        },
        Handler::Open,
    ),
    (
        ProgramSpec {
            name: "exit_connect",
            tracepoint: "sys_exit",
        },
        Handler::Connect,
    ),
    (
        ProgramSpec {
            name: "exit_plain",
            tracepoint: "sys_exit",
        },
        Handler::Plain,
    ),
];

/// What filters at the exit of calls go on to: the program, the stage, and the shape of the kinds, or any.
const CONTINUATIONS: [(&str, Stage, Option<Shape>); 3] = [
    ("exit_open_names", Stage::Early, Some(Shape::Open)),
    ("exit_path_names", Stage::Early, Some(Shape::Path)),
    ("exit_send", Stage::Late, None),
];

/// A program that was loaded and that no tail call reaches. Up to 5.11 the kernel gives up translating some programs to
/// machine code when jumps keep changing their lengths (`bpf_int_jit_compile`, `arch/x86/net/bpf_jit_comp.c`), runs
/// them by interpretation, and does not mix those with the others.
pub(super) struct Untranslated {
    pub(super) handler: Handler,
    /// What is wrong, as a sentence.
    pub(super) reason: String,
}

impl Untranslated {
    fn new(handler: Handler, spec: ProgramSpec, error: &MapError) -> Self {
        let calls: Vec<_> = Call::ALL
            .into_iter()
            .filter(|call| call.handler() == handler)
            .map(|call| format!("{call:?}"))
            .collect();
        let reason = format!(
            "this kernel does not let the program {} be reached ({}), so these calls are not seen: {}",
            spec.name,
            told(error),
            calls.join(", ").to_lowercase()
        );
        Self { handler, reason }
    }
}

/// Programs and maps in the kernel, none of them attached.
pub(super) struct Loaded {
    pub(super) ebpf: Ebpf,
    pub(super) missing: Vec<MissingField>,
    /// The BTF file that was given.
    pub(super) btf: Option<PathBuf>,
    /// Why fields are read by a helper and not by plain loads; `None` when they are.
    pub(super) slow_reads: Option<String>,
    /// What is not collected, since its program cannot be reached.
    pub(super) untranslated: Vec<Untranslated>,
    /// Why programs on sockets could not be loaded, by hook.
    pub(super) sockets: Vec<(Hook, Option<String>)>,
    /// Why programs on `io_uring` could not be loaded.
    pub(super) io_uring: Option<String>,
    /// Programs on names and cgroups, as far as they could be loaded.
    pub(super) tasks: Tasks,
    /// Kept here, since the kernel empties a program array nobody holds.
    pub(super) _handlers: ProgramArray<MapData>,
    /// Filters made of rules, and their maps.
    pub(super) filters: Filters,
    /// What must stay as it is.
    pub(super) integrity: Integrity,
}

/// What is known of the kernel's types.
struct Types {
    offsets: Offsets,
    v1_subsystem: u32,
    /// Plain loads of fields, or why there are none.
    cast: Result<Cast, String>,
    aya: AyaBtf,
    /// The dispatcher's tracepoint, as programs name it.
    sys_exit: Option<u32>,
}

/// Loads everything, and gives back the memory that it took: the kernel's types are some 20 MiB.
pub(super) fn load(options: &LoadOptions) -> Result<Loaded, LoadError> {
    let loaded = load_somehow(options);
    memory::give_back();
    loaded
}

/// Where the kernel does not take plain loads of fields, with reads by a helper.
fn load_somehow(options: &LoadOptions) -> Result<Loaded, LoadError> {
    let types = types(options.btf.as_deref())?;
    let essential: Vec<_> = types
        .offsets
        .missing
        .iter()
        .filter(|field| field.without.is_none())
        .collect();
    if !essential.is_empty() {
        return Err(LoadError::Fields(
            essential
                .iter()
                .map(|field| field.name)
                .collect::<Vec<_>>()
                .join(", "),
        ));
    }
    let slow_reads = match &types.cast {
        Err(reason) => reason.clone(),
        Ok(cast) => match load_with(options, &types, Some(*cast)) {
            Err(error @ (LoadError::Program { .. } | LoadError::Object(_))) => {
                tracing::warn!(%error, "the programs are loaded again, with slower reads of fields");
                error.to_string()
            }
            result => return result,
        },
    };
    let mut loaded = load_with(options, &types, None)?;
    loaded.slow_reads = Some(slow_reads);
    Ok(loaded)
}

fn load_with(options: &LoadOptions, types: &Types, cast: Option<Cast>) -> Result<Loaded, LoadError> {
    let want_failed = u32::from(!options.drop_failed);
    let is_direct = u32::from(cast.is_some());
    let word_structure = cast.map_or(0, |cast| cast.word_structure);
    let price_ns = 1_000_000_000_u32
        .checked_div(options.cgroup_events_per_second)
        .unwrap_or(0);
    let object = direct::object(OBJECT, cast);
    let mut ebpf = EbpfLoader::new()
        .btf(Some(&types.aya))
        .override_global("KERNEL_OFFSETS", &types.offsets.values[..], true)
        .override_global("STRUCTURES", &types.offsets.structures[..], true)
        .override_global("WORD_STRUCTURE", &word_structure, true)
        .override_global("DIRECT", &is_direct, true)
        .override_global("INODE_BYTES", &types.offsets.inode_bytes, true)
        .override_global("CGROUP_V1_SUBSYS", &types.v1_subsystem, true)
        .override_global("AGENT_TGID", &options.agent_tgid, true)
        .override_global("EVENT_PRICE_NS", &price_ns, true)
        .override_global("WANT_FAILED", &want_failed, true)
        .map_max_entries("LIFECYCLE", options.lifecycle_ring_bytes)
        .map_max_entries("CRITICAL", options.critical_ring_bytes)
        .map_max_entries("ACTIVITY", options.activity_ring_bytes)
        .load(&object)
        .map_err(not_permitted)?;
    let mut integrity = Integrity::new(&ebpf)?;
    for spec in LIFECYCLE.into_iter().chain([DISPATCHER]) {
        load_program(&mut ebpf, spec, &types.aya)?;
    }
    let mut handlers = ProgramArray::try_from(take_map(&mut ebpf, "HANDLERS")?)?;
    let mut untranslated = Vec::new();
    for (spec, handler) in HANDLERS {
        let fd = loaded_fd(&mut ebpf, spec, &types.aya)?;
        if let Err(error) = handlers.set(handler as u32, &fd, 0) {
            untranslated.push(Untranslated::new(handler, spec, &error));
        }
    }
    for (name, stage, shape) in CONTINUATIONS {
        let spec = ProgramSpec {
            name,
            tracepoint: DISPATCHER.tracepoint,
        };
        let fd = loaded_fd(&mut ebpf, spec, &types.aya)?;
        let next = ebpf.map_mut("CONTINUE").ok_or(LoadError::Absent("CONTINUE"))?;
        let mut next = ProgramArray::try_from(next)?;
        for kind in Kind::ALL {
            let handler = handler_of(kind);
            if handler != Handler::None
                && shape.is_none_or(|shape| shape == kind.shape())
                && let Err(error) = next.set(stage.slot(kind), &fd, 0)
                && untranslated.iter().all(|known| known.handler != handler)
            {
                untranslated.push(Untranslated::new(handler, spec, &error));
            }
        }
    }
    let mut filters = filters(&mut ebpf, types.sys_exit)?;
    describe_calls(&mut ebpf)?;
    integrity.freeze();
    let sockets = sockets::load(&mut ebpf, &types.aya);
    filters.cgroups = sockets::filters(&mut ebpf)?;
    let io_uring = io_uring::load(&mut ebpf, &types.aya).err();
    let tasks = Tasks::new(tasks::load(&mut ebpf, &types.aya));
    reserve_loss_entries(&mut ebpf)?;
    Ok(Loaded {
        ebpf,
        btf: options.btf.clone(),
        sockets,
        io_uring,
        tasks,
        missing: types.offsets.missing.clone(),
        slow_reads: None,
        untranslated,
        _handlers: handlers,
        filters,
        integrity,
    })
}

/// What both readers of BTF say; our own one's copy of the types is gone when this returns.
fn types(given: Option<&Path>) -> Result<Types, LoadError> {
    let path = given.unwrap_or_else(|| Path::new(VMLINUX));
    let own_cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let btf = Btf::from_file(path)?;
    let offsets = fields::resolve(&btf)?;
    let v1_subsystem = fields::v1_subsystem(&btf, &own_cgroups)?;
    let cast = match given {
        None => direct::find(&btf)?,
        Some(_) => Err("the types come from a file, whose numbers are not the kernel's".into()),
    };
    // A program names its hook by the number of the running kernel's type.
    let sys_exit = if given.is_some() {
        None
    } else {
        btf.tracepoint(DISPATCHER.tracepoint)
    };
    drop(btf);
    Ok(Types {
        sys_exit,
        offsets,
        v1_subsystem,
        cast,
        aya: AyaBtf::parse_file(path, Endianness::default())?,
    })
}

/// The descriptor of a program, which is loaded if it is not yet.
fn loaded_fd(ebpf: &mut Ebpf, spec: ProgramSpec, types: &AyaBtf) -> Result<ProgramFd, LoadError> {
    let fault = |source| LoadError::Program {
        program: spec.name,
        source,
    };
    let program = match ebpf.program(spec.name) {
        Some(program) if program.fd().is_ok() => program,
        _ => {
            load_program(ebpf, spec, types)?;
            ebpf.program(spec.name).ok_or(LoadError::Absent(spec.name))?
        }
    };
    let fd = program.fd().map_err(fault)?;
    fd.try_clone()
        .map_err(|error| fault(ProgramError::IOError(error)))
}

/// Every program that is loaded, by name.
pub(super) fn programs(ebpf: &Ebpf) -> Result<Vec<(String, OwnedFd)>, LoadError> {
    let mut found = Vec::new();
    for (name, program) in ebpf.programs() {
        // One that is not loaded counts nothing.
        let Ok(descriptor) = program.fd() else { continue };
        let copy = descriptor.as_fd().try_clone_to_owned();
        found.push((name.to_owned(), copy.map_err(MapError::IoError)?));
    }
    Ok(found)
}

/// The number of a program; `None` where it is not loaded.
pub(super) fn program_id(ebpf: &Ebpf, name: &str) -> io::Result<Option<u32>> {
    let descriptor = ebpf.program(name).and_then(|program| program.fd().ok());
    let facts = descriptor.map(|descriptor| inspect::program(descriptor.as_fd()));
    Ok(facts.transpose()?.map(|facts| facts.id))
}

/// An array of the object, held apart from it.
pub(super) fn map_fd(ebpf: &Ebpf, name: &'static str) -> Result<OwnedFd, LoadError> {
    let Some(Map::Array(data) | Map::PerCpuArray(data) | Map::ProgramArray(data)) = ebpf.map(name) else {
        return Err(LoadError::Absent(name));
    };
    Ok(data
        .fd()
        .as_fd()
        .try_clone_to_owned()
        .map_err(MapError::IoError)?)
}

/// The filters' maps; theirs are kept here, since the kernel empties a program array that nobody holds.
fn filters(ebpf: &mut Ebpf, exit: Option<u32>) -> Result<Filters, LoadError> {
    let copy = |name| map_fd(ebpf, name);
    Ok(Filters {
        scratch: copy("SCRATCH")?,
        depth: copy("SCRATCH_DEPTH")?,
        counters: copy("COUNTERS")?,
        next: copy("CONTINUE")?,
        slots: copy("FILTERS")?,
        parts: bpf::program_array(PART_SLOTS).map_err(MapError::IoError)?,
        exit: exit.map(bpf::Hook::tracepoint),
        cgroups: Vec::new(),
    })
}

fn load_program<'a>(
    ebpf: &'a mut Ebpf,
    spec: ProgramSpec,
    types: &AyaBtf,
) -> Result<&'a mut BtfTracePoint, LoadError> {
    let program: &mut BtfTracePoint = ebpf
        .program_mut(spec.name)
        .ok_or(LoadError::Absent(spec.name))?
        .try_into()
        .map_err(|source| LoadError::Program {
            program: spec.name,
            source,
        })?;
    program
        .load(spec.tracepoint, types)
        .map_err(|source| match &source {
            ProgramError::LoadError {
                io_error,
                verifier_log,
            } if io_error.kind() == io::ErrorKind::PermissionDenied
                && verifier_log.to_string().is_empty() =>
            {
                LoadError::NotPermitted(io_error.to_string())
            }
            _ => LoadError::Program {
                program: spec.name,
                source,
            },
        })?;
    Ok(program)
}

/// A map of the object, which must be there.
pub(super) fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, LoadError> {
    ebpf.take_map(name).ok_or(LoadError::Absent(name))
}

/// [`Places`] as a map's value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PlacesValue(Places);

// SAFETY: eight bytes; every bit pattern is a value.
unsafe impl aya::Pod for PlacesValue {}

/// Tells the programs what each call's arguments mean.
fn describe_calls(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let map = ebpf.map_mut("CALLS").ok_or(LoadError::Absent("CALLS"))?;
    let mut calls: Array<_, PlacesValue> = Array::try_from(map)?;
    for call in Call::ALL {
        if let Some(places) = call.places() {
            calls.set(call as u32, PlacesValue(places), 0)?;
        }
    }
    Ok(())
}

/// Whether there is a program for what this call becomes.
pub(super) fn is_collected(call: Call) -> bool {
    HANDLERS.iter().any(|(_, handler)| *handler == call.handler())
}

/// Losses of cgroups that no longer fit into the map are counted under id 0, so that entry must exist.
fn reserve_loss_entries(ebpf: &mut Ebpf) -> Result<(), LoadError> {
    let map = ebpf.map_mut("LOSSES").ok_or(LoadError::Absent("LOSSES"))?;
    let mut losses: PerCpuHashMap<_, LossMapKey, u64> = PerCpuHashMap::try_from(map)?;
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| MapError::IoError(error))?;
    for kind in Kind::ALL {
        for cause in LossCause::ALL {
            let key = LossKey {
                cgroup_id: 0,
                kind: kind as u32,
                cause: cause as u32,
            };
            let zeros = aya::maps::PerCpuValues::try_from(vec![0_u64; cpus]).map_err(MapError::IoError)?;
            losses.insert(LossMapKey(key), zeros, 0)?;
        }
    }
    Ok(())
}

/// An error with what is behind it.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Tells a refusal for want of rights from all other faults.
fn not_permitted(error: EbpfError) -> LoadError {
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    while let Some(cause) = source {
        if let Some(denied) = cause.downcast_ref::<io::Error>()
            && denied.kind() == io::ErrorKind::PermissionDenied
        {
            return LoadError::NotPermitted(denied.to_string());
        }
        source = cause.source();
    }
    LoadError::Object(error)
}
