//! Clients in processes of their own: `sensor watch`, `sensor status`, and one in Python that
//! shares no code with us.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::setup::Setup;

/// Runs a command to its end in a thread, while this test's server goes on.
async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

fn sensor(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sensor"));
    command.args(args);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn watch_shows_what_fits_and_stops_at_the_count() {
    let setup = Setup::new(64).await;
    let target = setup.target();
    let args = [
        "watch",
        "--address",
        &target,
        "--once",
        "--priority",
        "Warning",
        "--tag",
        "low",
        "--count",
        "2",
    ];
    let as_text = tokio::spawn(output(sensor(&args)));
    let as_json = tokio::spawn(output(sensor(&[&args[..], &["--format", "json"]].concat())));
    setup.wait_for_subscribers(2).await;
    for number in 0..7 {
        setup.publish(number);
    }
    let (as_text, as_json) = (as_text.await.unwrap(), as_json.await.unwrap());
    assert!(
        as_text.status.success() && as_json.status.success(),
        "{}",
        text(&as_text.stderr)
    );
    assert_eq!(
        text(&as_text.stdout),
        "00:00:00.000000000: Warning Number 0\n00:00:00.000000000: Warning Number 2\n",
        "without colours, as this is no terminal"
    );
    let lines = text(&as_json.stdout);
    let rules: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["rule"].clone())
        .collect();
    assert_eq!(rules, ["Rule 0", "Rule 2"]);
}

#[tokio::test]
async fn watch_connects_again_after_a_restart() {
    let first = Setup::new(64).await;
    let (socket, target) = (first.socket(), first.target());
    let watching = tokio::spawn(output(sensor(&["watch", "--address", &target, "--count", "2"])));
    first.wait_for_subscribers(1).await;
    first.publish(1);
    let Setup {
        folder,
        hub: _,
        server,
    } = first;
    assert!(server.shutdown(crate::setup::DEADLINE).await);
    let second = Setup::with(64, 8, |grpc, _| grpc.socket = Some(socket))
        .await
        .unwrap();
    second.wait_for_subscribers(1).await;
    second.publish(2);
    let watched = watching.await.unwrap();
    assert!(watched.status.success());
    assert_eq!(text(&watched.stdout).lines().count(), 2);
    assert!(
        text(&watched.stderr).contains("waiting for it to come back"),
        "{}",
        text(&watched.stderr)
    );
    drop(folder);
}

#[tokio::test]
async fn exit_codes() {
    let setup = Setup::new(64).await;
    let target = setup.target();
    let table: [(&[&str], i32, &str); 8] = [
        (
            &["watch", "--once", "--address", "/nonexistent/sensor.sock"],
            1,
            "cannot connect to /nonexistent/sensor.sock",
        ),
        (
            &["watch", "--address", &target, "--container", "abc"],
            2,
            "at least 12 characters",
        ),
        (&["watch", "--priority", "loud"], 2, "use emergency"),
        (&["status", "--address", "nowhere"], 2, "HOST:PORT"),
        (&["status", "--address", "127.0.0.1:1"], 1, "cannot connect"),
        (&["inventory", "--format", "yaml"], 2, "networkpolicy"),
        (
            &["inventory", "--address", &target, "--name", "busy"],
            1,
            "ask again",
        ),
        (
            &["inventory", "--address", &target, "--name", "disabled"],
            1,
            "inventory.enabled is false",
        ),
    ];
    for (args, code, message) in table {
        let output = output(sensor(args)).await;
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(
            text(&output.stderr).contains(message),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
    let status = output(sensor(&["status", "--address", &target])).await;
    assert!(
        text(&status.stdout).starts_with("sensor 1.2.3 on node\n"),
        "{}",
        text(&status.stdout)
    );
}

/// A Python with grpcio, or why there is none.
fn python(target: &Path) -> Result<PathBuf, String> {
    let folder = target.join("python-grpc");
    let python = folder.join("bin/python");
    let run = |program: &Path, args: &[&str]| {
        let output = Command::new(program)
            .args(args)
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    if run(&python, &["-c", "import grpc_reflection"]).is_err() {
        run(Path::new("python3"), &["-m", "venv", &folder.to_string_lossy()])?;
        let packages = ["grpcio", "grpcio-reflection"];
        run(
            &python,
            &[&["-m", "pip", "install", "--quiet"], &packages[..]].concat(),
        )?;
    }
    Ok(python)
}

#[tokio::test]
async fn a_client_in_python_needs_nothing_of_ours() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Beside what cargo builds, so that it is made only once.
    let target = Path::new(env!("CARGO_BIN_EXE_sensor"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned();
    let found = tokio::task::spawn_blocking(move || python(&target))
        .await
        .unwrap();
    let Ok(python) = found.inspect_err(|why| println!("skip: no Python with grpcio: {why}")) else {
        return;
    };

    let setup = Setup::new(64).await;
    let mut command = Command::new(python);
    command
        .arg(repository.join("tests/python/subscribe.py"))
        .args([&setup.target(), "--count", "1"]);
    command.args(["--filter", r#"{"rules": ["Rule 3"]}"#]);
    let mut reading = tokio::spawn(output(command));
    tokio::select! {
        () = setup.wait_for_subscribers(1) => {}
        read = &mut reading => panic!("it ended early: {}", text(&read.unwrap().stderr)),
    }
    for number in 0..7 {
        setup.publish(number);
    }
    let read = reading.await.unwrap();
    assert!(read.status.success(), "{}", text(&read.stderr));
    let detection: serde_json::Value = serde_json::from_str(&text(&read.stdout)).unwrap();
    assert_eq!(detection["rule"], "Rule 3");
    assert_eq!(detection["priority"], "PRIORITY_NOTICE");
    assert_eq!(detection["container"]["id"], "0123456789abcdef");
}
