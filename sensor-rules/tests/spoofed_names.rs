//! C14 of the catalogue of evasions: a container may call itself what it likes; what it is, rules can ask for as well.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

use sensor_rules::{
    engine::RuleMatching,
    field::Catalogue,
    load::{LoadOptions, Loader},
    testing::{self, TestFile},
};

const RULES: &str = "
- rule: Untrusted image
  desc: excuses by what an image is, not by what it is called
  condition: evt.type = execve and container.id != host
  exceptions:
    - name: trusted
      fields: [container.image.digest, k8s.ns.name]
      comps: [=, =]
      values:
        - [sha256:aa, monitoring]
  output: '%container.image %container.image.digest %k8s.ns.name'
  priority: WARNING
";

const CASES: &str = "
- rule: Untrusted image
  event:
    evt.type: execve
    container.id: 3ad7b26ded6d
    container.image.repository: registry.example/trusted/agent
    container.label[trusted]: 'yes'
    container.image.digest: sha256:aa
    k8s.ns.name: monitoring
  cases:
    - name: the real one
      expect: []
    - name: another image by its name and with its label
      change: {container.image.digest: 'sha256:bb'}
      expect: [Untrusted image]
    - name: the real one, brought into another namespace
      change: {k8s.ns.name: default}
      expect: [Untrusted image]
    - name: the digest is not known
      change: {container.image.digest: null}
      expect: [Untrusted image]
";

#[test]
fn c14_what_a_container_calls_itself_and_what_it_is_are_fields_of_their_own() {
    let catalogue = Catalogue::new();
    let mut loader = Loader::new(LoadOptions {
        rule_matching: RuleMatching::All,
        ..LoadOptions::default()
    });
    loader.add_file("rules.yaml", RULES.as_bytes());
    let rules = loader.finish().rule_set.expect("the rules are right");
    let cases = TestFile::parse("cases.yaml", CASES.as_bytes(), &catalogue).unwrap();
    let report = testing::run(&[cases], &rules, &catalogue).unwrap();
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty(), "{failures:#?}");
}
