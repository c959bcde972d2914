//! Which share of each kind of event ends in the kernel, while a machine does ordinary work.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sensor_proto::v1::KindCounters;

use super::{
    agent::{Agent, Rules},
    apps::{App, Stage, find},
    output_of, progress,
    report::{Section, Table},
    statistics::{grouped, number},
};

/// Files of the package that is installed, and how often it is.
const PACKAGE_FILES: usize = 400;
const INSTALLS: usize = 3;

/// What the counters of one kind say more after the work than before.
#[derive(Clone, Copy, Default)]
struct Went {
    seen: u64,
    filtered: u64,
    sent: u64,
    lost: u64,
}

/// Does the work beside an agent with each rule set.
pub(super) fn run() -> anyhow::Result<Section> {
    let apps = [App::Compile, App::Nginx];
    let (present, missing): (Vec<App>, Vec<App>) = apps.into_iter().partition(|app| app.is_there());
    let mut stage = Stage::new()?;
    stage.start(&present)?;
    let package = find("dpkg-deb").map(|_| Package::build()).transpose()?;
    let mut text = format!(
        "Beside an agent with its default configuration: a C project is compiled by make and gcc, a package of \
         {PACKAGE_FILES} files is installed {INSTALLS} times by dpkg, and nginx serves wrk. \"Left out\" are events that ended in \
         the kernel: those that no rule can match, the agent's own, and further datagrams to a known destination. Fork, exec and \
         exit always pass.\n"
    );
    for rules in [Some(Rules::Ours), Rules::falco()].into_iter().flatten() {
        progress(&format!("  {}", rules.name()))?;
        let agent = Agent::start(&rules)?;
        let before = counters(&agent)?;
        for app in &present {
            stage.measure(*app)?;
        }
        if let Some(package) = &package {
            package.install()?;
        }
        let after = counters(&agent)?;
        // Writing to a string does not fail.
        let _ = write!(text, "\nWith {}:\n\n{}", rules.name(), table(&before, &after));
    }
    let absent = missing.iter().flat_map(|app| app.programs()).copied();
    let absent: Vec<&str> = absent.chain(package.is_none().then_some("dpkg")).collect();
    if !absent.is_empty() {
        let _ = write!(
            text,
            "\nNot done, since it is not installed: {}.\n",
            absent.join(", ")
        );
    }
    Ok(Section {
        title: "What ends in the kernel",
        text,
    })
}

fn counters(agent: &Agent) -> anyhow::Result<BTreeMap<String, KindCounters>> {
    let kinds = agent.status()?.kinds;
    Ok(kinds.into_iter().map(|kind| (kind.kind.clone(), kind)).collect())
}

fn table(before: &BTreeMap<String, KindCounters>, after: &BTreeMap<String, KindCounters>) -> Table {
    let mut table = Table::new(["Kind", "Seen", "Left out", "Share, %", "Sent", "Lost"]);
    for (kind, now) in after {
        let then = before.get(kind).cloned().unwrap_or_default();
        let went = Went {
            seen: now.seen - then.seen,
            filtered: now.filtered - then.filtered,
            sent: now.sent - then.sent,
            lost: now.lost.values().sum::<u64>() - then.lost.values().sum::<u64>(),
        };
        if went.seen == 0 {
            continue;
        }
        table.row([
            kind.clone(),
            grouped(went.seen),
            grouped(went.filtered),
            format!("{:.2}", 100.0 * number(went.filtered) / number(went.seen)),
            grouped(went.sent),
            grouped(went.lost),
        ]);
    }
    table
}

/// A package of our own, and a root of its own that it is installed into.
struct Package {
    folder: tempfile::TempDir,
    file: PathBuf,
}

impl Package {
    fn build() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sensor-bench-").tempdir()?;
        let tree = folder.path().join("tree");
        let data = tree.join("usr/share/sensor-bench");
        fs::create_dir_all(&data)?;
        fs::create_dir(tree.join("DEBIAN"))?;
        fs::write(
            tree.join("DEBIAN/control"),
            "Package: sensor-bench\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n\
             Description: files of a benchmark\n",
        )?;
        for file in 0..PACKAGE_FILES {
            fs::write(data.join(format!("file-{file}")), "x".repeat(512))?;
        }
        let file = folder.path().join("sensor-bench.deb");
        output_of(Command::new("dpkg-deb").arg("--build").arg(&tree).arg(&file))?;
        Ok(Self { folder, file })
    }

    fn install(&self) -> anyhow::Result<()> {
        for _ in 0..INSTALLS {
            let root = self.folder.path().join("root");
            let database = root.join("var/lib/dpkg");
            for folder in ["info", "updates", "triggers"] {
                fs::create_dir_all(database.join(folder))?;
            }
            for file in ["status", "available"] {
                fs::write(database.join(file), "")?;
            }
            self.dpkg(&root)?;
            fs::remove_dir_all(&root)?;
        }
        Ok(())
    }

    fn dpkg(&self, root: &Path) -> anyhow::Result<()> {
        let mut command = Command::new("dpkg");
        command
            .arg(format!("--root={}", root.display()))
            .arg("-i")
            .arg(&self.file);
        output_of(&mut command).map(drop)
    }
}
