//! The demo: harmless attacks on this machine and in a real container, and what the agent says of them.
//!
//! The agent runs as an operator would run it: with the rules of `rules/` and a response hook. The demo is one of
//! its clients and knows only what the gRPC stream tells. Each attack comes from a service with a hole, once on
//! the host and once in a container; the service notes the time right before the attack's own system call, and
//! that is where the clock starts. It stops when the detection has arrived here.
//!
//! Nothing is written but below temporary folders and in the container; all of it is gone afterwards.

use std::{
    io::IsTerminal as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;
use sensor_proto::v1::{Detection, HookRun, subscribe_response::Item};

mod attack;
mod service;
mod show;
mod stage;
mod tamper;

use attack::{Attack, Place};
use show::Show;
use stage::Stage;

/// How long a detection may take on a busy machine.
const DETECTION_DEADLINE: Duration = Duration::from_secs(10);

/// What came of one attack.
#[derive(Debug)]
struct Outcome {
    title: &'static str,
    place: Place,
    rule: &'static str,
    /// From the attack's own time stamp to the detection's arrival; `None` when none came in time.
    after: Option<Duration>,
}

/// Runs the demo; true when every attack was detected and the file put back.
pub fn run() -> anyhow::Result<bool> {
    if let Some(missing) = crate::container::missing() {
        bail!("{missing}");
    }
    let mut show = Show::new(std::io::stdout().lock(), may_colour());
    show.step("starting a container and the agent");
    let mut stage = Stage::set()?;
    show.stage(&stage);
    let attacks = attack::all(stage.scratch());
    let mut outcomes = Vec::new();
    for attack in &attacks {
        outcomes.push(perform(&mut stage, attack, &mut show)?);
    }
    let tampering = tamper::perform(&mut stage, &mut show)?;
    outcomes.push(tampering.detected());
    show.table(&outcomes);
    show.tampering(&tampering);
    show.health(&stage.status()?, stage.others());
    let missed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.after.is_none())
        .collect();
    show.verdict(outcomes.len(), &missed, tampering.restored.is_some());
    if !missed.is_empty() {
        show.log(&stage.agent_log());
    }
    Ok(missed.is_empty() && tampering.restored.is_some())
}

/// Lets one attack happen, and shows what arrives until it is detected or the time is over.
fn perform(stage: &mut Stage, attack: &Attack, show: &mut Show) -> anyhow::Result<Outcome> {
    show.attack(attack.title, attack.place);
    if let Some(before) = &attack.before {
        stage.service(attack.place).obey(before)?;
    }
    let began = stage.service(attack.place).obey(&attack.words)?;
    let (after, _) = follow(stage, show, began, attack.rule, false)?;
    Ok(Outcome {
        title: attack.title,
        place: attack.place,
        rule: attack.rule,
        after,
    })
}

/// Shows what arrives until a detection by `rule` is there, and the hook's run that answers it when `hook` is set.
fn follow(
    stage: &mut Stage,
    show: &mut Show,
    began: Duration,
    rule: &str,
    hook: bool,
) -> anyhow::Result<(Option<Duration>, Option<HookRun>)> {
    let deadline = SystemTime::now() + DETECTION_DEADLINE;
    let (mut after, mut run, mut found) = (None, None, String::new());
    while after.is_none() || (hook && run.is_none()) {
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let Some((arrived, item)) = stage.next(left)? else {
            break;
        };
        if !stage.is_ours(&item) {
            continue;
        }
        let since = arrived.duration_since(UNIX_EPOCH)?.saturating_sub(began);
        match item {
            Item::Detection(detection) if is_later(&detection, began) => {
                show.detection(&detection, since);
                if detection.rule == rule && after.is_none() {
                    after = Some(since);
                    found = detection.id;
                }
            }
            Item::HookRun(done) if hook && done.detection_id == found => {
                show.hook_run(&done, since);
                run = Some(done);
            }
            Item::Gap(gap) => show.gap(&gap),
            Item::Detection(_) | Item::HookRun(_) | Item::RulesReload(_) => {}
        }
    }
    Ok((after, run))
}

/// Whether the kernel saw the event after the attack began: a late detection of the attack before does not count.
fn is_later(detection: &Detection, began: Duration) -> bool {
    let time = detection.time.as_ref().and_then(|time| {
        Some(Duration::new(
            u64::try_from(time.seconds).ok()?,
            u32::try_from(time.nanos).ok()?,
        ))
    });
    // The agent turns the kernel's clock into the wall clock's; the two may differ by a little.
    time.is_some_and(|time| time + Duration::from_millis(2) >= began)
}

fn may_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
