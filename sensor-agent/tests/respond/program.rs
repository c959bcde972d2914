//! Hooks that are programs: what they get, what their end means.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sensor_proto::v1::Detection;
use sensor_proto::v1::hook_run::{Mode, Outcome};

use super::common::{PATIENCE, Rig, about_process, folder, is_root, script};

/// What an attacker would like a shell, a log or a parser to see.
const HOSTILE: &str =
    "$(touch /tmp/pwned) `id` ; rm -rf / | \n\r\t'\"\\ %s ${IFS} \u{1b}[31m --help \u{202e} é";

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_reaches_standard_input_alone() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let out = folder.path().display();
    let body = format!("cat > {out}/input; printf '%s\\n' \"$@\" > {out}/args; env > {out}/env");
    let program = script(&folder, "hook", &body);
    let yaml = format!(
        "mode: act\nhooks: [{{name: h, program: {}, args: [one, '$(two)'], privileged: true}}]\n\
         bindings: [{{rule: '*', hooks: [h]}}]",
        program.display()
    );
    let rig = Rig::with_json(&folder, &yaml, |detection| {
        serde_json::to_vec(&detection.output).unwrap()
    });
    let detection = Detection {
        rule: HOSTILE.into(),
        output: HOSTILE.into(),
        tags: vec![HOSTILE.into()],
        ..about_process(HOSTILE, 4_000_000, 1)
    };
    rig.expect(&detection, Outcome::Done, "exit code 0");
    let input: String = serde_json::from_slice(&fs::read(folder.path().join("input")).unwrap()).unwrap();
    assert_eq!(input, HOSTILE);
    assert_eq!(
        fs::read_to_string(folder.path().join("args")).unwrap(),
        "one\n$(two)\n"
    );
    let env = fs::read_to_string(folder.path().join("env")).unwrap();
    for line in env.lines() {
        let name = line.split('=').next().unwrap();
        // The last three are the shell's own.
        let known = ["PATH", "LANG", "SENSOR_RUN_ID", "PWD", "OLDPWD", "_"];
        assert!(known.contains(&name), "{env}");
    }
    let intents = rig
        .journal_lines()
        .into_iter()
        .filter(|line| line["kind"] == "intent");
    assert_eq!(
        intents.map(|line| line["rule"].clone()).collect::<Vec<_>>(),
        [HOSTILE]
    );
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_decides() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let cases = [
        ("exit 0", Outcome::Done, "exit code 0"),
        ("echo all well", Outcome::Done, "exit code 0: all well"),
        ("exit 75", Outcome::Failed, "tried again later"),
        (
            "echo 'no luck\u{1b}[1m' >&2; exit 3",
            Outcome::Failed,
            "exit code 3: no luck\\u{1b}[1m",
        ),
        ("kill -9 $$", Outcome::Failed, "ended by signal 9"),
        ("exec 0<&-; exit 0", Outcome::Done, "exit code 0"),
    ];
    for (body, outcome, detail) in cases {
        let program = script(&folder, "hook", body);
        let yaml = format!(
            "mode: act\nhooks: [{{name: h, program: {}}}]\nbindings: [{{rule: '*', hooks: [h]}}]",
            program.display()
        );
        // More than fits in a pipe: a program that does not read it must not hold the run up.
        let rig = Rig::with_json(&folder, &yaml, |_| vec![b'x'; 1 << 20]);
        let run = rig.expect(&about_process("d", 4_000_000, 1), outcome, detail);
        assert_eq!(
            (run.mode(), run.hook.as_str(), run.rule.as_str()),
            (Mode::Act, "h", "Test rule")
        );
        rig.stop(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_runs_as_the_given_user() {
    if !is_root() {
        return;
    }
    let folder = folder();
    for (user, uid) in [
        ("", "65534"),
        (", user: daemon", "1"),
        (", privileged: true", "0"),
    ] {
        let yaml = format!(
            "mode: act\nhooks: [{{name: h, program: /usr/bin/id, args: [-u]{user}}}]\n\
             bindings: [{{rule: '*', hooks: [h]}}]"
        );
        let rig = Rig::new(&folder, &yaml);
        rig.expect(
            &about_process("d", 4_000_000, 1),
            Outcome::Done,
            &format!("exit code 0: {uid}"),
        );
        let last = rig.journal_lines().pop().unwrap();
        assert_eq!(last["output"]["stdout"], format!("{uid}\n"));
        rig.stop(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_others_can_change_by_now_is_refused() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let done = folder.path().join("done");
    let program = script(&folder, "hook", &format!("touch {}", done.display()));
    let yaml = format!(
        "mode: act\nhooks: [{{name: h, program: {}, privileged: true}}]\nbindings: [{{rule: '*', hooks: [h]}}]",
        program.display()
    );
    let rig = Rig::new(&folder, &yaml);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o775)).unwrap();
    rig.expect(
        &about_process("d", 4_000_000, 1),
        Outcome::Refused,
        "can be written by others",
    );
    assert!(!done.exists());
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_starts_nothing() {
    if !is_root() {
        return;
    }
    let folder = folder();
    let done = folder.path().join("done");
    let program = script(&folder, "hook", &format!("touch {}", done.display()));
    for modes in [("observe", "act"), ("act", "observe")] {
        let yaml = format!(
            "mode: {}\nhooks: [{{name: h, program: {}, privileged: true, mode: {}}}]\n\
             bindings: [{{rule: '*', hooks: [h]}}]",
            modes.0,
            program.display(),
            modes.1
        );
        let rig = Rig::new(&folder, &yaml);
        let run = rig.expect(
            &about_process("d", 4_000_000, 1),
            Outcome::Observed,
            "would run /",
        );
        assert_eq!(run.mode(), Mode::Observe);
        assert!(rig.stop(PATIENCE).await.is_empty());
        assert!(!done.exists());
    }
}
