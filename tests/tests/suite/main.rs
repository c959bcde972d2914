//! Declarative cases, as Falco's event generator describes them: chains of processes with names, arguments and users,
//! and steps on files and sockets. Each is really performed, with Falco's stable rules loaded, and the detection that
//! it must lead to is compared with what came.
//!
//! The cases are `suite.json` of the shared conformance data, and the rules the shared Falco rules: neither is part of
//! this repository, and without them the test says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

mod case;
mod fields;
mod judge;
mod perform;
mod place;
mod script;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use sensor_tests::{binary, client::Client, lock, report, sensor::Sensor};

use self::{case::Case, judge::Judge, place::Places};

/// Cases that are performed at once: many of them sleep.
const AT_ONCE: usize = 24;

/// The rule files that define the rules that the cases are about, the stable one first and always.
fn rule_files(cases: &[Case]) -> Option<Vec<PathBuf>> {
    let stable = binary::shared("falco-rules/falco_rules.yaml")?;
    let others = std::fs::read_dir(stable.parent()?)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut others: Vec<_> = others
        .filter(|path| path.extension().is_some_and(|is| is == "yaml") && *path != stable)
        .collect();
    others.sort();
    let mut missing: BTreeSet<_> = cases.iter().map(|case| case.rule.as_str()).collect();
    missing.retain(|rule| !defines(&stable, rule));
    let mut files = vec![stable];
    for other in others {
        if missing.iter().any(|rule| defines(&other, rule)) {
            files.push(other);
        }
    }
    Some(files)
}

fn defines(file: &Path, rule: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .any(|line| line.trim_end() == format!("- rule: {rule}"))
}

/// What the cases ask for and the rules' own outputs do not name is added to the outputs.
fn extra_outputs(cases: &[&Case]) -> String {
    let mut fields: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for case in cases {
        let of_rule = fields.entry(&case.rule).or_default();
        of_rule.extend(case.expected.fields.keys().map(String::as_str));
    }
    let mut text = String::new();
    for (rule, fields) in fields {
        let added: Vec<_> = fields.iter().map(|field| format!("{field}=%{field}")).collect();
        let added = added.join(" ");
        writeln!(
            text,
            "- rule: {rule}\n  output: \" {added}\"\n  override: {{output: append}}"
        )
        .unwrap();
    }
    text
}

#[test]
fn declarative_cases_lead_to_their_detections() {
    let Some(suite) = binary::shared("conformance/suite.json") else {
        report::skip("no conformance/suite.json: set SENSOR_SHARED to the folder that holds it");
        return;
    };
    if !rustix::process::geteuid().is_root() {
        report::skip("not root");
        return;
    }
    let cases = case::read(&suite);
    let Some(files) = rule_files(&cases) else {
        report::skip("no falco-rules/falco_rules.yaml: set SENSOR_SHARED to the folder that holds it");
        return;
    };
    let _claim = lock::shared().unwrap();
    let mut places = Places::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut prepared = Vec::new();
    for case in &cases {
        let known = files.iter().any(|file| defines(file, &case.rule));
        let why_not = (!known).then(|| format!("no given rule file defines {:?}", case.rule));
        match why_not.map_or_else(|| places.prepare(case), Err) {
            Ok(ready) => prepared.push(ready),
            Err(why) => *skipped.entry(why).or_default() += 1,
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs.yaml");
    let runnable: Vec<_> = prepared.iter().map(|ready| ready.case).collect();
    std::fs::write(&outputs, extra_outputs(&runnable)).unwrap();
    let stable = files[0].clone();
    let mut builder = Sensor::builder();
    for file in files {
        builder = builder.rule_files(file);
    }
    let sensor = builder
        .rule_files(outputs)
        .set("stdout.enabled=false")
        .set("grpc.queue_items_max=65536")
        .start()
        .unwrap();
    places.start(&prepared);

    let client = Arc::new(Client::connect(&sensor.socket()).unwrap());
    let judge = Judge::start(client);
    let queue = Mutex::new(prepared.iter());
    let claims = perform::Claims::default();
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(ready) = queue.lock().unwrap().next() else {
                        return;
                    };
                    let performed = claims.with(ready, || perform::perform(ready, &places));
                    done.lock().unwrap().push((ready, performed));
                }
            });
        }
    });
    let performed = done.into_inner().unwrap();
    let failures = judge.compare(&performed);
    fields::perform();
    let (unfilled, looked_at) = fields::compare(&judge, &stable);
    let mut text = format!(
        "suite: {} cases, {} run, {} passed, {} skipped",
        cases.len(),
        performed.len(),
        performed.len() - failures.len(),
        skipped.values().sum::<usize>(),
    );
    for (why, count) in &skipped {
        write!(text, "\n  skipped {count}: {why}").unwrap();
    }
    write!(
        text,
        "\n  the outputs of {looked_at} stable rules have all their values, but for {} rules",
        unfilled.len()
    )
    .unwrap();
    report::note(text);
    assert!(unfilled.is_empty(), "{}", unfilled.join("\n"));
    assert!(
        failures.is_empty(),
        "{}\nthe agent's log:\n{}",
        failures.join("\n"),
        sensor.log()
    );
}
