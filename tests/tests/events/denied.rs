//! Programs and files that rules deny, by BPF LSM. This machine's kernel may not let such programs load; the kernels
//! of `cargo xtask vmtest` do.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use sensor_tests::{
    helper, lock, report,
    sensor::Sensor,
    wait::{self, DEADLINE},
};

/// Attempts of each kind.
const ATTEMPTS: usize = 10_000;

/// An agent that enforces one rule; `None`, with a word, where the kernel cannot deny.
fn agent(condition: &str) -> Option<Sensor> {
    let rule = format!(
        "- rule: guarded\n  desc: nobody does this here\n  condition: {condition}\n  output: >\n    \
         type=%evt.type denied=%evt.denied res=%evt.res exe=%proc.exepath file=%fd.name by=%proc.name hook=%evt.hook\n  \
         priority: CRITICAL\n  action: deny\n"
    );
    let builder = || {
        Sensor::builder()
            .rules(&rule)
            .set("enforce.mode=act")
            .set("enforce.off_file=/nonexistent")
            .set("enforce.denials_per_cgroup_max=1000000")
            .set("kernel.activity_ring_bytes=67108864")
            .set("grpc.queue_items_max=65536")
    };
    if let Ok(sensor) = builder().start() {
        return Some(sensor);
    }
    let (_, said) = builder().refused().unwrap();
    assert!(said.contains("is where programs and files are denied"), "{said}");
    assert!(said.contains("action: kill"), "{said}");
    report::skip("this kernel's BPF LSM cannot be used, and the agent says so");
    None
}

/// Runs the helper; what it printed.
fn attempt(what: &str, path: &Path) -> String {
    let output = Command::new(helper::path("attempts").unwrap())
        .arg(what)
        .arg(path)
        .arg(ATTEMPTS.to_string())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// How many lines tell of a denial, once all have come.
fn told(sensor: &Sensor, text: &str) -> usize {
    let count = || sensor.output().lines().filter(|line| line.contains(text)).count();
    wait::until(DEADLINE, || (count() >= ATTEMPTS).then_some(()));
    count()
}

#[test]
fn a_denied_program_gives_eperm_and_is_told_once() {
    let _claim = lock::shared().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("guarded");
    fs::copy("/usr/bin/true", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let condition = format!(
        "evt.type in (execve, execveat) and proc.exepath = {}",
        program.display()
    );
    let Some(sensor) = agent(&condition) else { return };
    let said = attempt("exec", &program);
    assert_eq!(said, format!("denied={ATTEMPTS} passed=0 others=0\n"));
    let expected = format!(
        "type=execve denied=true res=EPERM exe={} file=<NA> by=e2e-attempts hook=lsm/bprm_check_security",
        program.display()
    );
    assert_eq!(told(&sensor, &expected), ATTEMPTS);
    // A link is the same program, and another program is not.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&program, &link).unwrap();
    assert_eq!(
        Command::new(&link).status().unwrap_err().raw_os_error(),
        Some(rustix::io::Errno::PERM.raw_os_error())
    );
    assert!(Command::new("/usr/bin/true").status().unwrap().success());
    let (status, log, output) = sensor.stop().unwrap();
    assert!(status.success(), "{log}");
    assert_eq!(output.matches("type=exec").count(), ATTEMPTS + 1, "{log}");
    assert!(Command::new(&link).status().unwrap().success());
}

#[test]
fn a_denied_file_gives_eperm_and_is_told_once_by_its_own_name() {
    let _claim = lock::shared().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets/guarded");
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(&file, "secret").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let condition = format!(
        "evt.type in (open, openat, openat2) and evt.is_open_read = true and fd.name startswith {}/secrets/",
        folder.path().display()
    );
    let Some(sensor) = agent(&condition) else { return };
    let said = attempt("open", &link);
    assert_eq!(said, format!("denied={ATTEMPTS} passed=0 others=0\n"));
    let expected = format!(
        "type=openat denied=true res=EPERM exe={} file={} by=e2e-attempts hook=lsm/file_open",
        helper::path("attempts").unwrap().display(),
        file.display()
    );
    assert_eq!(told(&sensor, &expected), ATTEMPTS);
    // It may be written, and what is not below the folder may be read.
    fs::OpenOptions::new().append(true).open(&file).unwrap();
    assert!(fs::read_to_string("/proc/version").is_ok());
    let (status, log, output) = sensor.stop().unwrap();
    assert!(status.success(), "{log}");
    assert_eq!(output.matches("denied=true").count(), ATTEMPTS, "{log}");
    assert_eq!(fs::read_to_string(&link).unwrap(), "secret");
}
