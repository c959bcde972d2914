//! What real programs lose: a compile, redis and nginx, with and without the agent, in turns.

use std::{
    fmt::Write as _,
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, ensure};

use super::{
    agent::Rules,
    arm::Arm,
    output_of, progress,
    report::{Section, Table},
    statistics::{median, with_spread},
};
use crate::wait;

/// Source files of the project that is compiled.
const FILES: usize = 24;
/// Requests to redis in one run; `nginx` gets requests for [`SECONDS`].
const REQUESTS: &str = "200000";
const SECONDS: &str = "2";

/// A program under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum App {
    Compile,
    Redis,
    Nginx,
}

impl App {
    const ALL: [Self; 3] = [Self::Compile, Self::Redis, Self::Nginx];

    fn title(self) -> &'static str {
        match self {
            Self::Compile => "compile of a small C project, ms",
            Self::Redis => "redis-benchmark SET, ns a request",
            Self::Nginx => "nginx, wrk, ns a request",
        }
    }

    /// What must be there for it.
    pub(super) fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Compile => &["gcc", "make"],
            Self::Redis => &["redis-server", "redis-benchmark"],
            Self::Nginx => &["nginx", "wrk"],
        }
    }

    /// Whether all of it is.
    pub(super) fn is_there(self) -> bool {
        self.programs().iter().all(|name| find(name).is_some())
    }
}

/// Everything that the programs need, for as long as they run.
pub(super) struct Stage {
    folder: tempfile::TempDir,
    /// Ended when it is dropped.
    servers: Vec<Server>,
    redis: u16,
    nginx: u16,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes turns, as the benchmark of single operations does.
pub(super) fn run(rounds: u32) -> anyhow::Result<Section> {
    let (apps, missing): (Vec<App>, Vec<App>) = App::ALL.into_iter().partition(|app| app.is_there());
    let mut stage = Stage::new()?;
    stage.start(&apps)?;
    let arms: Vec<Arm> = [Rules::Ours]
        .into_iter()
        .chain(Rules::profiles())
        .map(Arm::Agent)
        .collect();
    let (mut alone, mut ratios) = (
        vec![Vec::new(); apps.len()],
        vec![vec![Vec::new(); arms.len()]; apps.len()],
    );
    for round in 0..rounds {
        for step in 0..arms.len() {
            let arm = (usize::try_from(round)? + step) % arms.len();
            progress(&format!(
                "  round {} of {rounds}, {}",
                round + 1,
                arms[arm].name()
            ))?;
            let before = apps
                .iter()
                .map(|app| stage.measure(*app))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let running = arms[arm].start()?;
            for (at, app) in apps.iter().enumerate() {
                ratios[at][arm].push(stage.measure(*app)? / before[at]);
                alone[at].push(before[at]);
            }
            drop(running);
        }
    }
    let mut table = Table::new(["Program", "Alone"].into_iter().chain(arms.iter().map(Arm::name)));
    for (at, app) in apps.iter().enumerate() {
        let head = [app.title().to_owned(), format!("{:.0}", median(&alone[at]))];
        table.row(
            head.into_iter()
                .chain(ratios[at].iter().map(|found| with_spread(found, 3))),
        );
    }
    let mut text = format!(
        "Time with the agent as a multiple of the time without it right before. The compile is {FILES} files by make and \
         gcc, with two jobs; redis and nginx serve one client program on loopback, on the same two cores.\n\n{table}"
    );
    for app in missing {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\nNot measured, since it is not installed: {}.\n",
            app.programs().join(", ")
        );
    }
    Ok(Section {
        title: "What real programs lose",
        text,
    })
}

/// Where a program is.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A port that nobody has just now.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Stage {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sensor-bench-").tempdir()?;
        project(folder.path())?;
        Ok(Self {
            folder,
            servers: Vec::new(),
            redis: free_port()?,
            nginx: free_port()?,
        })
    }

    /// Starts the servers among these.
    pub(super) fn start(&mut self, apps: &[App]) -> anyhow::Result<()> {
        let at = self.folder.path().to_owned();
        if apps.contains(&App::Redis) {
            let mut command = Command::new(find("redis-server").context("redis-server")?);
            command.args([
                "--save",
                "",
                "--bind",
                "127.0.0.1",
                "--port",
                &self.redis.to_string(),
            ]);
            self.serve(command.current_dir(&at), self.redis)?;
        }
        if apps.contains(&App::Nginx) {
            fs::write(at.join("index.html"), "hello\n")?;
            let file = at.join("nginx.conf");
            fs::write(&file, nginx_configuration(&at, self.nginx))?;
            let mut command = Command::new(find("nginx").context("nginx")?);
            self.serve(command.arg("-p").arg(&at).arg("-c").arg(&file), self.nginx)?;
        }
        Ok(())
    }

    fn serve(&mut self, command: &mut Command, port: u16) -> anyhow::Result<()> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.servers.push(Server(child));
        let up = wait::until(wait::DEADLINE, || TcpStream::connect(("127.0.0.1", port)).ok());
        ensure!(up.is_some(), "{command:?} does not listen");
        Ok(())
    }

    /// Time of a whole run, or of one request.
    pub(super) fn measure(&self, app: App) -> anyhow::Result<f64> {
        match app {
            App::Compile => {
                let began = Instant::now();
                output_of(
                    Command::new("make")
                        .args(["-B", "-s", "-j2"])
                        .current_dir(self.folder.path()),
                )?;
                Ok(began.elapsed().as_secs_f64() * 1e3)
            }
            App::Redis => {
                let port = self.redis.to_string();
                let mut command = Command::new("redis-benchmark");
                command.args(["-p", &port, "-t", "set", "-n", REQUESTS, "--csv"]);
                let text = output_of(&mut command)?;
                per_request(
                    text.lines()
                        .find_map(|line| line.strip_prefix("\"SET\",\"")?.split('"').next()),
                )
            }
            App::Nginx => {
                let url = format!("http://127.0.0.1:{}/index.html", self.nginx);
                let text = output_of(Command::new("wrk").args(["-t1", "-c16", "-d", SECONDS, &url]))?;
                per_request(text.lines().find_map(|line| line.strip_prefix("Requests/sec:")))
            }
        }
    }
}

/// Nanoseconds of one, from how many a second the program says.
fn per_request(per_second: Option<&str>) -> anyhow::Result<f64> {
    let number: f64 = per_second
        .context("the load generator gives no figure")?
        .trim()
        .parse()?;
    Ok(1e9 / number)
}

/// A project that takes the compiler as long as its files are many: each includes the C library's headers.
fn project(folder: &Path) -> anyhow::Result<()> {
    let mut objects = String::new();
    for file in 0..FILES {
        let text = format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <math.h>\n#include <pthread.h>\n\
             int part_{file}(const char *text) {{ char copy[64]; strncpy(copy, text, 63); copy[63] = 0;\n\
             return printf(\"%s %d\\n\", copy, {file}) + (int)strlen(copy); }}\n"
        );
        fs::write(folder.join(format!("part_{file}.c")), text)?;
        // As above.
        let _ = write!(objects, " part_{file}.o");
    }
    fs::write(
        folder.join("Makefile"),
        format!("libparts.a:{objects}\n\tar rcs $@ $^\n%.o: %.c\n\tgcc -O2 -c -o $@ $<\n"),
    )?;
    Ok(())
}

fn nginx_configuration(folder: &Path, port: u16) -> String {
    let at = folder.display();
    format!(
        "daemon off; master_process off; pid {at}/nginx.pid; error_log {at}/error.log; user root;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; \
         fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
         server {{ listen 127.0.0.1:{port}; root {at}; }} }}\n"
    )
}
