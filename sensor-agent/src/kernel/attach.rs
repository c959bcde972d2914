//! Attaching, and what is attached.

use aya::{
    maps::{Array, MapData, MapError, PerCpuArray, PerCpuHashMap, RingBuf},
    programs::{BtfTracePoint, ProgramError, tp_btf::BtfTracePointLinkId},
};
use sensor_common::{
    kind::Kind,
    syscall::{Call, Handler, Route, SOCKET_CALLS_MAX},
};

use sensor_rules::partial::Demand;

use super::{
    counters::Counters,
    enforce::{self, Enforcement, Needs},
    fields::MissingField,
    filter::{Installed, place::cgroup_hooks},
    inspect,
    integrity::Tampering,
    io_uring::IoUring,
    load::{self, DISPATCHER, LIFECYCLE, LoadError, LoadOptions, Loaded, ProgramSpec, take_map},
    ring::{Asleep, Rings},
    sockets::{Sockets, Wanted},
};

use crate::{
    config::{EnforceConfig, Profile},
    enforce::DenyRule,
    state::seed::Hierarchies,
    view::EventTypes,
};

/// [`Route`] as a map's value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct RouteValue(Route);

// SAFETY: four bytes; every bit pattern is a value.
unsafe impl aya::Pod for RouteValue {}

/// Why a hook that could be attached is not.
pub(super) const NOT_NEEDED: &str = "no loaded rule needs it";

/// What internet sockets tell of themselves, in each profile.
pub const BY_SOCKETS: [Kind; 4] = [Kind::Connect, Kind::Bind, Kind::Listen, Kind::Send];

/// What tracepoints of processes tell of themselves, in each profile.
pub const BY_TASKS: [Kind; 2] = [Kind::Comm, Kind::CgroupMove];

/// Whether a kind is told in each profile, without a system call's hook.
#[must_use]
pub fn is_told_without_calls(kind: Kind) -> bool {
    BY_SOCKETS.contains(&kind) || BY_TASKS.contains(&kind)
}

/// A hook and whether it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookStatus {
    /// As the kernel names it.
    pub name: String,
    /// Whether it is attached.
    pub attached: bool,
    /// What it gives.
    pub kinds: Vec<Kind>,
    /// Why it is not attached; empty when it is.
    pub reason: String,
}

/// The kernel side, loaded. Dropping it detaches everything.
pub struct Probes {
    loaded: Loaded,
    routes: Array<MapData, RouteValue>,
    socket_calls: Array<MapData, u32>,
    dispatcher: Option<BtfTracePointLinkId>,
    sockets: Sockets,
    io_uring: IoUring,
    lifecycle_attached: bool,
    calls: Vec<Call>,
    /// What rules deny and kill for.
    enforces: Needs,
    profile: Profile,
    denies: bool,
    /// What the agent itself demands of the filters, beside the rules.
    also: Vec<Demand>,
}

/// What reads the kernel side.
pub struct Readers {
    /// What is sent.
    pub rings: Rings,
    /// How the reader says that it sleeps.
    pub asleep: Asleep,
    /// What was counted.
    pub counters: Counters,
}

impl Probes {
    /// Loads the programs and gives the readers of what they send; nothing is attached yet.
    pub fn load(options: &LoadOptions) -> Result<(Self, Readers), LoadError> {
        let mut loaded = load::load(options)?;
        let ebpf = &mut loaded.ebpf;
        let readers = Readers {
            rings: Rings {
                lifecycle: RingBuf::try_from(take_map(ebpf, "LIFECYCLE")?)?,
                critical: RingBuf::try_from(take_map(ebpf, "CRITICAL")?)?,
                activity: RingBuf::try_from(take_map(ebpf, "ACTIVITY")?)?,
            },
            asleep: Asleep(Array::try_from(take_map(ebpf, "ASLEEP")?)?),
            counters: Counters {
                kinds: PerCpuArray::try_from(take_map(ebpf, "COUNTERS")?)?,
                losses: PerCpuHashMap::try_from(take_map(ebpf, "LOSSES")?)?,
                programs: load::programs(ebpf)?,
            },
        };
        let routes = Array::try_from(take_map(ebpf, "ROUTES")?)?;
        let socket_calls = Array::try_from(take_map(ebpf, "SOCKET_CALLS")?)?;
        let sockets = Sockets::new(ebpf, std::mem::take(&mut loaded.sockets))?;
        let io_uring = IoUring::new(ebpf, loaded.io_uring.take())?;
        let probes = Self {
            loaded,
            routes,
            socket_calls,
            dispatcher: None,
            sockets,
            io_uring,
            lifecycle_attached: false,
            calls: Vec::new(),
            enforces: Needs::default(),
            profile: Profile::Default,
            denies: false,
            also: Vec::new(),
        };
        Ok((probes, readers))
    }

    /// Begins to report processes.
    pub fn attach_lifecycle(&mut self) -> Result<(), LoadError> {
        for spec in LIFECYCLE {
            self.program(spec)?
                .attach()
                .map_err(|source| LoadError::Program {
                    program: spec.name,
                    source,
                })?;
        }
        self.lifecycle_attached = true;
        Ok(())
    }

    /// Reports these system calls and no others; with none, system calls cost nothing.
    fn set_calls(&mut self, calls: &[Call]) -> Result<(), LoadError> {
        let mut table = vec![Route::default(); sensor_common::limits::SYSCALLS_MAX as usize];
        let mut by_socketcall = [0; SOCKET_CALLS_MAX as usize];
        let mut calls: Vec<Call> = calls
            .iter()
            .copied()
            .filter(|call| load::is_collected(*call) && *call != Call::SocketCall)
            .filter(|call| self.can_reach(call.handler()))
            .collect();
        for call in &calls {
            if let Some(number) = call.socketcall() {
                by_socketcall[number as usize] = *call as u32 | (call.handler() as u32) << 8;
            }
        }
        if by_socketcall.iter().any(|entry| *entry != 0) {
            calls.push(Call::SocketCall);
        }
        for (number, entry) in (0..).zip(by_socketcall) {
            self.socket_calls.set(number, entry, 0)?;
        }
        for call in &calls {
            let handler = call.handler() as u8;
            if let Some(number) = call.number_64() {
                table[number as usize].call_64 = *call as u8;
                table[number as usize].handler_64 = handler;
            }
            if let Some(number) = call.number_32() {
                table[number as usize].call_32 = *call as u8;
                table[number as usize].handler_32 = handler;
            }
        }
        for (number, route) in (0..).zip(table) {
            self.routes.set(number, RouteValue(route), 0)?;
        }
        self.expect("ROUTES")?;
        let none = calls.is_empty();
        self.calls = calls;
        match (none, self.dispatcher.take()) {
            (false, None) => {
                let link = self.program(DISPATCHER)?.attach().map_err(refused)?;
                self.dispatcher = Some(link);
            }
            (true, Some(link)) => self.program(DISPATCHER)?.detach(link).map_err(refused)?,
            (_, unchanged) => self.dispatcher = unchanged,
        }
        Ok(())
    }

    /// Leaves events out in the kernel that none of these demands can match; with `None`, none is left out.
    ///
    /// # Errors
    /// When a filter's slot cannot be written.
    pub fn set_filters(
        &mut self,
        demands: Option<&[Demand]>,
        types: &EventTypes,
    ) -> Result<Vec<Installed>, LoadError> {
        let filters = &self.loaded.filters;
        let done = match demands {
            Some(demands) => {
                let both: Vec<_> = demands.iter().chain(&self.also).cloned().collect();
                filters.install(&both, types)
            }
            None => filters.clear().map(|()| Vec::new()),
        };
        let installed = done.map_err(MapError::IoError)?;
        self.expect("FILTERS")?;
        for (_, about) in cgroup_hooks() {
            self.expect(about.map)?;
        }
        Ok(installed)
    }

    /// What the agent itself demands of the filters from the next time on that they are set, beside the rules.
    pub fn demand_also(&mut self, demands: Vec<Demand>) {
        self.also = demands;
    }

    /// Takes what a guarded map holds now for what it must hold.
    fn expect(&mut self, map: &str) -> Result<(), LoadError> {
        Ok(self.loaded.integrity.expect(map).map_err(MapError::IoError)?)
    }

    /// Compares what is attached and set up with what must be, and puts right what somebody else changed. Links are
    /// compared only with `CAP_SYS_ADMIN`: without it the kernel lists none, and `sensor doctor` says so.
    ///
    /// # Errors
    /// When the kernel does not tell what it should.
    pub fn check(&mut self) -> std::io::Result<Vec<Tampering>> {
        let mut found = self.loaded.integrity.check()?;
        let links = match inspect::links() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(found),
            links => links?,
        };
        let runs = |id| links.iter().any(|link| link.program == id && link.is_alive);
        let mut missing = Vec::new();
        for name in self.sockets.attached() {
            let Some(id) = load::program_id(&self.loaded.ebpf, name)? else {
                continue;
            };
            if !runs(id) {
                missing.push(name);
            }
        }
        for name in missing {
            let repaired = self.sockets.attach_again(&mut self.loaded.ebpf, name);
            found.push(Tampering {
                what: "link",
                name: name.to_owned(),
                found: "its link was detached, or runs another program".into(),
                not_repaired: repaired.err().unwrap_or_default(),
            });
        }
        for spec in self.attached_tracepoints() {
            let Some(id) = load::program_id(&self.loaded.ebpf, spec.name)? else {
                continue;
            };
            if runs(id) {
                continue;
            }
            let repaired = self.program(spec).and_then(|program| {
                program.attach().map_err(|source| LoadError::Program {
                    program: spec.name,
                    source,
                })
            });
            found.push(Tampering {
                what: "link",
                name: spec.name.to_owned(),
                found: "its link is gone".into(),
                not_repaired: repaired.err().map_or_else(String::new, |error| error.to_string()),
            });
        }
        Ok(found)
    }

    /// Programs on tracepoints that must run now.
    fn attached_tracepoints(&self) -> Vec<ProgramSpec> {
        let lifecycle = LIFECYCLE.into_iter().filter(|_| self.lifecycle_attached);
        lifecycle
            .chain(self.dispatcher.is_some().then_some(DISPATCHER))
            .chain(self.loaded.tasks.attached())
            .collect()
    }

    /// Why maps that are constant can be changed all the same, as sentences.
    #[must_use]
    pub fn not_frozen(&self) -> &[String] {
        self.loaded.integrity.not_frozen()
    }

    /// Attaches what rules deny or kill for; until told otherwise it only counts.
    pub fn attach_enforcement(
        &mut self,
        rules: &[DenyRule],
        config: &EnforceConfig,
    ) -> Result<Enforcement, LoadError> {
        let root = Hierarchies::find().v2.ok_or_else(|| {
            LoadError::Enforce(
                "no cgroup v2 hierarchy is mounted: its root is where connections are denied, and its cgroups have the cap".into(),
            )
        })?;
        let limit = config.denials_per_cgroup_max;
        let attached = enforce::attach(
            &mut self.loaded.ebpf,
            self.loaded.btf.as_deref(),
            rules,
            &root,
            limit,
            &config.protected_cgroups,
        )?;
        self.enforces = Needs::of(rules);
        Ok(attached)
    }

    /// Says what is followed of what is wanted, and whether rules deny: a denial is told by the exit of the call, in
    /// each profile.
    pub fn set_profile(&mut self, profile: Profile, denies: bool) {
        self.profile = profile;
        self.denies = denies;
    }

    /// Reports these calls as far as the profile goes, and what internet sockets do from the sockets themselves, as far
    /// as this kernel lets: `false` when it does not.
    pub fn follow(&mut self, wanted: &[Call]) -> Result<bool, LoadError> {
        // A denial is told by the exit of the call.
        let is_denied = |call: &Call| matches!(call.kind(), Some(Kind::Connect | Kind::Bind));
        let followed: Vec<_> = match self.profile {
            Profile::All => Call::ALL.to_vec(),
            Profile::Default => wanted.to_vec(),
            Profile::Lite if self.denies => wanted.iter().copied().filter(is_denied).collect(),
            Profile::Lite => Vec::new(),
        };
        self.set_calls(&followed)?;
        let through_rings = [wanted, &followed].concat();
        self.io_uring.follow(&mut self.loaded.ebpf, &through_rings)?;
        self.expect("IO_CALLS")?;
        let kinds_of = |calls: &[Call]| calls.iter().filter_map(|call| call.kind()).collect::<Vec<_>>();
        let wanted = Wanted {
            kinds: [kinds_of(wanted), kinds_of(&followed)].concat(),
            exits: kinds_of(&self.calls),
        };
        self.sockets.follow(&mut self.loaded.ebpf, &wanted)?;
        self.loaded.tasks.follow(&mut self.loaded.ebpf, &through_rings)?;
        self.expect("SOURCES")?;
        let mut told = BY_SOCKETS.iter().filter(|kind| wanted.kinds.contains(kind));
        Ok(told.all(|kind| self.sockets.tells(*kind)))
    }

    /// Stops reporting; what is in the rings stays there to be read.
    pub fn detach(&mut self) -> Result<(), LoadError> {
        self.set_calls(&[])?;
        self.sockets.detach(&mut self.loaded.ebpf)?;
        self.io_uring.detach(&mut self.loaded.ebpf)?;
        self.loaded.tasks.detach(&mut self.loaded.ebpf)?;
        for spec in LIFECYCLE {
            self.program(spec)?
                .unload()
                .map_err(|source| LoadError::Program {
                    program: spec.name,
                    source,
                })?;
        }
        self.lifecycle_attached = false;
        Ok(())
    }

    /// The system calls that are reported.
    #[must_use]
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Fields that this kernel lacks.
    #[must_use]
    pub fn missing_fields(&self) -> &[MissingField] {
        &self.loaded.missing
    }

    /// Why fields are read by a helper's call each and not by plain loads; `None` when they are.
    #[must_use]
    pub fn slow_reads(&self) -> Option<&str> {
        self.loaded.slow_reads.as_deref()
    }

    /// What is not collected since its program is not reached, as sentences.
    pub fn untranslated(&self) -> impl Iterator<Item = &str> {
        self.loaded
            .untranslated
            .iter()
            .map(|program| program.reason.as_str())
    }

    fn can_reach(&self, handler: Handler) -> bool {
        self.loaded
            .untranslated
            .iter()
            .all(|program| program.handler != handler)
    }

    /// Hooks that rules ask for and that this kernel does not let the agent have.
    pub fn refused(&self) -> impl Iterator<Item = HookStatus> {
        let hooks = self.hooks().into_iter();
        hooks.filter(|hook| {
            let is_optional = hook.name.starts_with("cgroup/")
                || ["io_uring", "task_rename", "cgroup_attach"]
                    .iter()
                    .any(|part| hook.name.contains(part));
            is_optional && !hook.attached && hook.reason != NOT_NEEDED
        })
    }

    /// Every hook, in use or not.
    #[must_use]
    pub fn hooks(&self) -> Vec<HookStatus> {
        let mut hooks: Vec<_> = LIFECYCLE
            .iter()
            .zip([Kind::Fork, Kind::Exec, Kind::Exit])
            .map(|(spec, kind)| HookStatus {
                name: format!("tp_btf/{}", spec.tracepoint),
                attached: self.lifecycle_attached,
                kinds: vec![kind],
                reason: if self.lifecycle_attached {
                    String::new()
                } else {
                    "not started".into()
                },
            })
            .collect();
        let mut kinds: Vec<_> = self.calls.iter().filter_map(|call| call.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let attached = self.dispatcher.is_some();
        hooks.push(HookStatus {
            name: format!("tp_btf/{}", DISPATCHER.tracepoint),
            attached,
            kinds,
            reason: if attached {
                String::new()
            } else {
                "no loaded rule needs a system call".into()
            },
        });
        hooks.extend(self.enforces.hooks().map(|(hook, kind)| HookStatus {
            name: format!("{} (deny)", hook.name()),
            attached: true,
            kinds: vec![kind],
            reason: String::new(),
        }));
        let others = self
            .sockets
            .hooks()
            .chain(self.io_uring.hooks())
            .chain(self.loaded.tasks.hooks());
        hooks.extend(others.map(|(hook, kinds, attached, reason)| HookStatus {
            name: hook.name().to_owned(),
            attached,
            kinds,
            reason,
        }));
        hooks
    }

    fn program(&mut self, spec: ProgramSpec) -> Result<&mut BtfTracePoint, LoadError> {
        let program = self
            .loaded
            .ebpf
            .program_mut(spec.name)
            .ok_or(LoadError::Absent(spec.name))?;
        program.try_into().map_err(|source| LoadError::Program {
            program: spec.name,
            source,
        })
    }
}

fn refused(source: ProgramError) -> LoadError {
    LoadError::Program {
        program: DISPATCHER.name,
        source,
    }
}
