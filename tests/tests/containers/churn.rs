//! Containers that come and go without end leave nothing behind. `cargo xtask bench -- churn` does the same with 5,000.

use std::collections::BTreeSet;

use sensor_tests::{container, report, scrape, values::Values as _, wait};

use crate::agent::agent_with;

const CONTAINERS: usize = 300;
const AT_ONCE: usize = 3;

#[test]
fn a_churn_of_containers_is_told_whole_and_forgotten_whole() {
    if let Some(missing) = container::missing() {
        return report::skip(missing);
    }
    let address = scrape::free_address().unwrap();
    let agent = agent_with(&[], |builder| {
        builder
            .set(format!("metrics.address={address}"))
            .set("state.exited_keep_s=1")
    });
    let Some(agent) = agent else { return };
    let mut stream = agent.client.subscribe(None).unwrap();
    let entries =
        |table: &str| scrape::scrape(address).unwrap()[&format!("sensor_table_entries{{table=\"{table}\"}}")];
    let containers = || entries("containers");
    // Tables are counted once a second, and there is always a cgroup.
    let is_counted = || (entries("cgroups") > 0.0).then_some(());
    wait::until(wait::DEADLINE, is_counted).expect("the agent counts no cgroups");
    let before = containers();
    let made = std::thread::scope(|scope| {
        let made = scope.spawn(|| container::churn(CONTAINERS, AT_ONCE).unwrap());
        let mut told = BTreeSet::new();
        while told.len() < CONTAINERS {
            let found = stream
                .find(wait::DEADLINE, |one| {
                    one.text("proc.name") == "echo" && one.text("proc.args") == "churn"
                })
                .unwrap()
                .unwrap_or_else(|| panic!("{} of {CONTAINERS} containers were told", told.len()));
            assert!(!found.is("container.unverified"), "{found:#?}");
            assert!(!found.is("meta.pending"), "{found:#?}");
            told.insert(found.text("container.full_id"));
        }
        let made: BTreeSet<_> = made.join().unwrap().into_iter().collect();
        assert_eq!(told, made);
        made
    });
    let is_forgotten = || {
        let known = agent.client.status().unwrap().cgroups;
        let is_stale = known.iter().any(|cgroup| made.contains(&cgroup.container));
        (!is_stale && containers() <= before).then_some(())
    };
    wait::until(2 * wait::DEADLINE, is_forgotten)
        .unwrap_or_else(|| panic!("stale entries: {before} before, {} now", containers()));
}
