//! What a program is: the hash of the very file that ran, the package that it belongs to, whether the image brought it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use sensor_proto::v1::Detection;
use sensor_tests::{client::Subscription, container::Container, report, values::Values as _, wait::DEADLINE};

use crate::agent::{Agent, agent_by};

const RULES: &str = r"
- rule: exec
  desc: which program it was
  condition: evt.type in (execve, execveat) and proc.args contains e2e-
  output: >
    %proc.name %proc.args %proc.exepath %container.full_id %proc.exe.sha256 %hash.raced %proc.exe.package
    %proc.is_exe_packaged %proc.exe.drift %proc.is_exe_from_image %proc.is_exe_upper_layer %meta.pending %evt.incomplete
  priority: NOTICE
";

fn agent() -> Option<Agent> {
    agent_by(&[], RULES, |builder| builder)
}

/// The last word of a detection with these arguments: what was told first, and what completed it.
fn last(stream: &mut Subscription<'_>, args: &str) -> Detection {
    let first = stream
        .find(DEADLINE, |one| one.text("proc.args") == args)
        .unwrap()
        .unwrap_or_else(|| panic!("no exec with {args}"));
    if !first.is("meta.pending") {
        return first;
    }
    let update = stream
        .find(DEADLINE, |one| one.update && one.id == first.id)
        .unwrap();
    update.unwrap_or_else(|| panic!("never completed: {first:#?}"))
}

/// The last words of detections with these arguments.
fn all(stream: &mut Subscription<'_>, args: impl Iterator<Item = String>) -> BTreeMap<String, Detection> {
    let mut open: BTreeSet<String> = args.collect();
    let mut told = BTreeMap::new();
    while !open.is_empty() {
        let one = stream
            .find(DEADLINE, |one| open.contains(&one.text("proc.args")))
            .unwrap()
            .unwrap_or_else(|| panic!("not told or not completed: {open:?}"));
        let args = one.text("proc.args");
        if !one.is("meta.pending") {
            open.remove(&args);
        }
        told.insert(args, one);
    }
    told
}

/// What `sha256sum`, which knows nothing of ours, says of a file.
fn sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    assert!(output.status.success(), "{}", path.display());
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// A program of its own content: busybox with something behind it.
fn program(folder: &Path, name: &str, tail: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let mut content = fs::read("/bin/busybox").unwrap();
    content.extend_from_slice(tail);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A program that knows by its first argument that it is busybox.
fn busybox(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg0("busybox");
    command
}

/// Runs a program of the host's to its end.
fn run(program: &Path, args: &[&str]) {
    let status = busybox(program).args(args).status().unwrap();
    assert!(status.success(), "{}", program.display());
}

/// Waits until a file is old enough to be taken by its name.
fn age() {
    thread::sleep(Duration::from_millis(100));
}

#[test]
fn programs_of_the_host_and_of_a_container_have_their_hash_and_package() {
    let Some(agent) = agent() else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let own = program(folder.path(), "busybox", b"e2e");
    age();
    for (path, args) in [
        (Path::new("/bin/busybox"), "echo e2e-host"),
        (&own, "echo e2e-own"),
    ] {
        run(path, &args.split(' ').collect::<Vec<_>>());
        let one = last(&mut stream, args);
        assert_eq!(one.text("proc.exe.sha256"), sum(path), "{one:#?}");
        assert!(!one.is("hash.raced"), "{one:#?}");
        assert_eq!(one.process.as_ref().unwrap().exe_sha256, sum(path));
        assert_eq!(one.text("proc.exe.drift"), "", "the host has no image");
    }
    run(Path::new("/bin/bash"), &["-c", ":", "e2e-packaged"]);
    let one = last(&mut stream, "-c : e2e-packaged");
    assert_eq!(one.text("proc.exe.package"), "bash", "{one:#?}");
    assert!(one.is("proc.is_exe_packaged"), "{one:#?}");
    run(&own, &["echo", "e2e-unowned"]);
    assert!(!last(&mut stream, "echo e2e-unowned").is("proc.is_exe_packaged"));

    // An image with a database of apk, in which its busybox is a package's.
    let database = "P:busybox\nV:1.36.1-r29\nF:bin\nR:busybox\n\n";
    let container = Container::builder()
        .file("/lib/apk/db/installed", database, 0o644)
        .run(&["/bin/sh", "-c", "/bin/echo e2e-inside; sleep 1000"])
        .unwrap();
    let one = last(&mut stream, "e2e-inside");
    assert_eq!(one.text("container.full_id"), container.id());
    assert_eq!(one.text("proc.exe.package"), "busybox", "{one:#?}");
    assert_eq!(one.text("proc.exe.sha256"), sum(Path::new("/bin/busybox")));

    // Debian's own programs, libraries and database, in the root of a container.
    let container = Container::builder()
        .bind("/usr", "/usr")
        .bind("/usr/lib", "/lib")
        .bind("/usr/lib64", "/lib64")
        .bind("/var/lib/dpkg", "/var/lib/dpkg")
        .run(&["/bin/sh", "-c", "/usr/bin/bash -c : e2e-debian; sleep 1000"])
        .unwrap();
    let one = last(&mut stream, "-c : e2e-debian");
    assert_eq!(one.text("container.full_id"), container.id());
    assert_eq!(one.text("proc.exe.package"), "bash", "{one:#?}");
    assert_eq!(one.text("proc.exe.sha256"), sum(Path::new("/usr/bin/bash")));
}

/// E03: its name is gone before anybody can look, or somebody else's; and what is too long is said to be.
#[test]
fn e03_a_file_that_lost_its_name_is_hashed_and_one_that_is_too_long_is_told() {
    let Some(agent) = agent() else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sleep = |path: &Path, word: &str| {
        let script = format!("read -t 1000 line; : {word}");
        let mut command = busybox(path);
        command.args(["sh", "-c", &script]).stdin(Stdio::piped());
        (command.spawn().unwrap(), format!("sh -c {script}"))
    };
    let (gone, other) = (
        program(folder.path(), "gone", b"gone"),
        program(folder.path(), "other", b"other"),
    );
    let (sum_of_gone, sum_of_other) = (sum(&gone), sum(&other));
    // A file that is younger than the kernel's clock for files can tell is not taken once its name is gone.
    thread::sleep(Duration::from_millis(50));
    let (mut first, first_args) = sleep(&gone, "e2e-gone");
    fs::remove_file(&gone).unwrap();
    let (mut second, second_args) = sleep(&other, "e2e-replaced");
    fs::rename(program(folder.path(), "new", b"new"), &other).unwrap();
    let one = last(&mut stream, &first_args);
    assert_eq!(one.text("proc.exe.sha256"), sum_of_gone, "{one:#?}");
    let one = last(&mut stream, &second_args);
    assert_eq!(one.text("proc.exe.sha256"), sum_of_other, "{one:#?}");
    for child in [&mut first, &mut second] {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let long = program(folder.path(), "long", b"");
    fs::File::options()
        .write(true)
        .open(&long)
        .unwrap()
        .set_len((128 << 20) + 1)
        .unwrap();
    age();
    run(&long, &["echo", "e2e-long"]);
    let one = last(&mut stream, "echo e2e-long");
    assert_eq!(one.text("proc.exe.sha256"), "", "{one:#?}");
    assert!(
        one.incomplete
            .iter()
            .any(|why| why == "proc.exe.sha256: the file is too long"),
        "{one:#?}"
    );
}

/// T08: the file is replaced again and again while it is run; what is told is the hash of what ran, or that it was raced.
#[test]
fn t08_a_file_that_is_replaced_all_the_time_never_gets_another_ones_hash() {
    const RUNS: usize = 120;
    let Some(agent) = agent() else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let red = program(folder.path(), "red", b"red");
    let blue = program(folder.path(), "blue", b"blue");
    let sums = BTreeMap::from([("red", sum(&red)), ("blue", sum(&blue))]);
    let target = folder.path().join("target");
    let over = AtomicBool::new(false);
    // The program tells its own content: its last bytes. Some stay until somebody has looked at them.
    let script = |number: usize| {
        let stay = if number.is_multiple_of(8) {
            "/usr/bin/sleep 1; "
        } else {
            ""
        };
        format!("/usr/bin/tail -c 3 /proc/$$/exe; {stay}: e2e-t08-{number}")
    };
    let mut ran = BTreeMap::new();
    thread::scope(|scope| {
        // Copies that take each other's place by rename: as fast as they can, and slowly enough to be older than a tick.
        scope.spawn(|| {
            let next = folder.path().join("next");
            for pause in [0, 50].into_iter().cycle() {
                for one in [&red, &blue] {
                    fs::copy(one, &next).unwrap();
                    thread::sleep(Duration::from_millis(pause));
                    fs::rename(&next, &target).unwrap();
                }
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        while !target.exists() {
            thread::yield_now();
        }
        for number in 0..RUNS {
            let script = script(number);
            let output = busybox(&target).args(["sh", "-c", &script]).output();
            // A file that is still written to cannot be run.
            let Ok(output) = output else { continue };
            ran.insert(number, output.stdout);
        }
        over.store(true, Ordering::Relaxed);
    });
    let told = all(
        &mut stream,
        ran.keys().map(|number| format!("sh -c {}", script(*number))),
    );
    let (mut known, mut raced) = (0, 0);
    for (number, said) in &ran {
        let which = match &said[..] {
            b"red" => "red",
            b"lue" => "blue",
            other => panic!("run {number} says {other:?}"),
        };
        let one = &told[&format!("sh -c {}", script(*number))];
        match one.text("proc.exe.sha256") {
            told if told.is_empty() => raced += 1,
            told => {
                assert_eq!(told, sums[which], "run {number}: {one:#?}");
                known += 1;
            }
        }
    }
    report::note(format!(
        "T08: {known} of {} runs with the right hash, {raced} without, none wrong",
        ran.len()
    ));
    assert!(known > 0, "not one could be hashed");
}

/// P18: files of the image, of the upper layer, of a volume and of a tmpfs.
#[test]
fn p18_a_program_that_the_image_did_not_bring_is_told_with_the_reason() {
    let Some(agent) = agent() else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let volume = tempfile::tempdir().unwrap();
    let before = program(volume.path(), "before", b"");
    assert!(before.exists());
    let script = "
        /bin/busybox echo e2e-image
        cp /bin/busybox /bin/copied && /bin/copied echo e2e-copied
        chmod 0777 /bin/modes && /bin/modes echo e2e-chmod
        rm /bin/deleted && cp /bin/busybox /bin/deleted && /bin/deleted echo e2e-whiteout
        cp /bin/busybox /dev/shm/busybox && /dev/shm/busybox echo e2e-tmpfs
        cp /bin/busybox /volume/after && /volume/after echo e2e-volume-after
        /volume/before echo e2e-volume-before
    ";
    let busybox = fs::read("/bin/busybox").unwrap();
    let mut container = Container::builder()
        .overlay(true)
        .bind(volume.path(), "/volume")
        .file("/bin/modes", busybox.clone(), 0o755)
        .file("/bin/deleted", busybox, 0o755)
        .run(&["/bin/sh", "-c", script])
        .unwrap();
    for (word, drift, from_image) in [
        ("image", "", true),
        ("copied", "upper_layer", false),
        ("chmod", "upper_layer", false),
        ("whiteout", "upper_layer", false),
        ("tmpfs", "changed_after_start", false),
        ("volume-after", "changed_after_start", false),
        ("volume-before", "", false),
    ] {
        let one = last(&mut stream, &format!("echo e2e-{word}"));
        assert_eq!(one.text("container.full_id"), container.id());
        assert_eq!(one.text("proc.exe.drift"), drift, "{word}: {one:#?}");
        assert_eq!(one.is("proc.is_exe_from_image"), from_image, "{word}: {one:#?}");
        assert_eq!(
            one.is("proc.is_exe_upper_layer"),
            drift == "upper_layer",
            "{word}"
        );
    }
    container.wait(DEADLINE).unwrap();
}
