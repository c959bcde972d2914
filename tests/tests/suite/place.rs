//! Where cases are performed: the host, and one container for each kind that is asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use sensor_tests::{
    container::{self, Container},
    helper,
};
use serde_json::Value;

use crate::{
    case::{Case, ContainerContext, Process},
    script,
};

/// The helper's place in a container.
pub(crate) const ACTOR: &str = "/e2e-actor";

/// A case and what the helper is told.
pub(crate) struct Ready<'a> {
    pub(crate) case: &'a Case,
    pub(crate) script: String,
    /// Programs to be there: where, and with which capabilities.
    pub(crate) programs: Vec<(String, Option<String>)>,
    /// Links to programs, by which a process gets its name.
    pub(crate) links: Vec<(String, String)>,
}

/// The places.
pub(crate) struct Places {
    actor: PathBuf,
    no_containers: Option<&'static str>,
    containers: BTreeMap<ContainerContext, Container>,
    passwd: Vec<u8>,
    users: BTreeMap<String, (u32, u32)>,
    made_users: BTreeSet<String>,
    count: u32,
}

impl Places {
    pub(crate) fn new() -> Self {
        Self {
            actor: helper::path("actor").unwrap(),
            no_containers: container::missing(),
            containers: BTreeMap::new(),
            passwd: fs::read("/etc/passwd").unwrap(),
            users: BTreeMap::new(),
            made_users: BTreeSet::new(),
            count: 0,
        }
    }

    /// What a case needs and does, or why it cannot be done here.
    pub(crate) fn prepare<'a>(&mut self, case: &'a Case) -> Result<Ready<'a>, String> {
        if let Some(why) = case.excluded() {
            return Err(why);
        }
        if let (Some(_), Some(why)) = (&case.context.container, self.no_containers) {
            return Err(why.to_owned());
        }
        let mut ready = Ready {
            case,
            script: String::new(),
            programs: Vec::new(),
            links: Vec::new(),
        };
        let addresses: Vec<_> = case
            .resources
            .iter()
            .filter(|resource| resource["type"] == "clientServer")
            .collect();
        if !addresses.is_empty() {
            ready.script.push_str(&script::line(&["network"]));
            for address in addresses
                .iter()
                .filter_map(|resource| resource["address"].as_str())
            {
                if !address.starts_with("127.") && !address.starts_with("[::1]") {
                    ready.script.push_str(&script::line(&["address", address]));
                }
            }
        }
        for process in &case.context.processes {
            let line = self.process(&["exec"], process, &mut ready)?;
            ready.script.push_str(&line);
        }
        self.count += 1;
        let unix_socket = format!("unix:///tmp/e2e-suite-{}.sock", self.count);
        let body = script::body(case, &unix_socket, |resource| {
            let mut process: Process =
                serde_json::from_value(resource.clone()).map_err(|error| error.to_string())?;
            process.name = resource["procName"].as_str().map(str::to_owned);
            let name = resource["name"].as_str().unwrap_or_default();
            let is_fileless = resource["fileLess"] == Value::Bool(true);
            self.process(
                &[if is_fileless { "fileless" } else { "process" }, name],
                &process,
                &mut ready,
            )
        })?;
        ready.script.push_str(&body);
        Ok(ready)
    }

    /// A process's line; its program has a folder of its own, in which a link gives it its name.
    fn process(
        &mut self,
        start: &[&str],
        process: &Process,
        ready: &mut Ready<'_>,
    ) -> Result<String, String> {
        self.count += 1;
        let (uid, gid) = match &process.user {
            Some(user) => self.user(user)?,
            None => (0, 0),
        };
        let capabilities = match process.capabilities.as_deref() {
            // Root has them all the same.
            None | Some("all=iep") if uid == 0 => None,
            None | Some("all=iep") => Some(own_capabilities()),
            Some(text) => Some(text.to_owned()),
        };
        let program = process
            .exe_path
            .clone()
            .unwrap_or_else(|| format!("/tmp/e2e-suite-{}/event-generator", self.count));
        ready.programs.push((program.clone(), capabilities.clone()));
        let mut path = program.clone();
        if let Some(name) = &process.name {
            path = Path::new(&program)
                .with_file_name(name)
                .to_string_lossy()
                .into_owned();
            if path != program {
                ready.links.push((program.clone(), path.clone()));
            }
        }
        let base = Path::new(&path)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let arg0 = process.exe.clone().unwrap_or(base);
        let arguments = split(process.args.as_deref().unwrap_or_default());
        let capabilities = capabilities.unwrap_or_default();
        let (uid, gid, count) = (uid.to_string(), gid.to_string(), arguments.len().to_string());
        let mut words = start.to_vec();
        words.extend([path.as_str(), &arg0, &uid, &gid, &capabilities, &count]);
        words.extend(arguments.iter().map(String::as_str));
        let env: Vec<_> = process
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        words.extend(env.iter().map(String::as_str));
        Ok(script::line(&words))
    }

    /// A user's ids; one that the machine does not have is made when the case is performed, as the format wants it.
    fn user(&mut self, name: &str) -> Result<(u32, u32), String> {
        if let Some(known) = self.users.get(name) {
            return Ok(*known);
        }
        let of = |passwd: &[u8]| {
            String::from_utf8_lossy(passwd).lines().find_map(|line| {
                let mut parts = line.split(':');
                (parts.next()? == name).then_some(())?;
                let ids: Vec<u32> = parts.skip(1).take(2).filter_map(|id| id.parse().ok()).collect();
                Some((*ids.first()?, *ids.get(1)?))
            })
        };
        let mut found = of(&self.passwd);
        if found.is_none() {
            let made = Command::new("useradd")
                .args(["--system", "--no-create-home", name])
                .output();
            if !made.is_ok_and(|made| made.status.success()) {
                return Err(format!("there is no user {name:?}, and useradd cannot make it"));
            }
            self.made_users.insert(name.to_owned());
            self.passwd = fs::read("/etc/passwd").unwrap();
            found = of(&self.passwd);
        }
        let found = found.ok_or_else(|| format!("useradd did not make {name:?}"))?;
        self.users.insert(name.to_owned(), found);
        Ok(found)
    }

    /// Starts the containers that these cases need.
    pub(crate) fn start(&mut self, cases: &[Ready<'_>]) {
        for wanted in cases
            .iter()
            .filter_map(|ready| ready.case.context.container.as_ref())
        {
            if self.containers.contains_key(wanted) {
                continue;
            }
            let container = Container::builder()
                .overlay(true)
                .privileged(true)
                .annotation("io.kubernetes.cri.image-name", wanted.image.as_str())
                .annotation("io.kubernetes.cri.container-name", wanted.name.as_str())
                .file(ACTOR, fs::read(&self.actor).unwrap(), 0o755)
                .file("/etc/passwd", self.passwd.clone(), 0o644)
                .run(&["/bin/sleep", "3600"])
                .unwrap();
            self.containers.insert(wanted.clone(), container);
        }
    }

    /// The root of a case's place, as the host sees it.
    fn root(&self, case: &Case) -> PathBuf {
        match self.container(case) {
            Some(container) => format!("/proc/{}/root", container.pid()).into(),
            None => "/".into(),
        }
    }

    fn container(&self, case: &Case) -> Option<&Container> {
        case.context
            .container
            .as_ref()
            .map(|wanted| &self.containers[wanted])
    }

    /// The command that runs the helper in a case's place.
    pub(crate) fn command(&self, ready: &Ready<'_>) -> Command {
        let script = format!("E2E_SCRIPT={}", ready.script);
        let Some(container) = self.container(ready.case) else {
            let mut command = Command::new(&self.actor);
            command
                .env_clear()
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .env("E2E_SCRIPT", &ready.script);
            return command;
        };
        let env = ready.case.context.container.iter().flat_map(|wanted| &wanted.env);
        let mut words = vec!["/bin/busybox".to_owned(), "env".to_owned(), script];
        words.extend(env.map(|(name, value)| format!("{name}={value}")));
        words.push(ACTOR.to_owned());
        container.exec_detached(&words)
    }

    /// Puts a case's programs where they are to be; what was there before stays.
    pub(crate) fn put_programs(&self, ready: &Ready<'_>) -> Put {
        let root = self.root(ready.case);
        let at = |path: &str| root.join(path.trim_start_matches('/'));
        let mut put = Put(Vec::new());
        for (program, capabilities) in &ready.programs {
            let path = at(program);
            let folder = path.parent().unwrap();
            if !folder.exists() {
                fs::create_dir_all(folder).unwrap();
                put.0.push(folder.to_owned());
            }
            assert!(!path.exists(), "{} is there already", path.display());
            fs::copy(&self.actor, &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            if let Some(capabilities) = capabilities {
                let done = Command::new("setcap")
                    .arg(capabilities)
                    .arg(&path)
                    .output()
                    .unwrap();
                assert!(done.status.success(), "setcap {capabilities}: {done:?}");
            }
            put.0.push(path);
        }
        for (program, link) in &ready.links {
            std::os::unix::fs::symlink(program, at(link)).unwrap();
            put.0.push(at(link));
        }
        put
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for user in &self.made_users {
            let _ = Command::new("userdel").arg(user).output();
        }
    }
}

/// Files that go with it, the last first.
pub(crate) struct Put(Vec<PathBuf>);

impl Drop for Put {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}

/// All capabilities that this process can hand on, as `setcap` wants them: a program that asks for more cannot be run.
fn own_capabilities() -> String {
    /// `CAP_SYS_RESOURCE`
    const SYS_RESOURCE: u64 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let bounding = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .unwrap();
    let bounding = u64::from_str_radix(bounding.trim(), 16).unwrap();
    if bounding >> SYS_RESOURCE & 1 == 1 {
        "all=eip".into()
    } else {
        "all=eip cap_sys_resource-eip".into()
    }
}

/// Words parted by spaces; quotes hold words together.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '"' | '\'') => (quote, any) = (Some(character), true),
            (None, ' ' | '\t') => {
                if any {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            _ => {
                word.push(character);
                any = true;
            }
        }
    }
    if any {
        words.push(word);
    }
    words
}
