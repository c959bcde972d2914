//! A file in a container's mount is tampered with, and the agent's `restore-file` hook puts it back.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use sensor_proto::v1::hook_run::Outcome as Done;

use super::{
    Outcome,
    attack::Place,
    follow,
    show::Show,
    stage::{GOOD, SITE_FILE, SITE_INSIDE, Stage},
};

/// The rule that sees it.
pub(super) const RULE: &str = "System configuration written";

const TITLE: &str = "configuration tampered with";

const BAD: &str = "upstream = https://203.0.113.7/";

/// What happened to the file.
#[derive(Debug)]
pub(super) struct Tampering {
    pub(super) before: String,
    pub(super) written: &'static str,
    pub(super) after: String,
    /// From the attack's time stamp to the detection's arrival.
    detected: Option<Duration>,
    /// From the attack's time stamp to the file's last change; `None` when it is not as it was, or no hook says
    /// that it put it back.
    pub(super) restored: Option<Duration>,
}

impl Tampering {
    pub(super) fn detected(&self) -> Outcome {
        Outcome {
            title: TITLE,
            place: Place::Container,
            rule: RULE,
            after: self.detected,
        }
    }
}

/// Lets the service in the container overwrite the file, and follows what becomes of it.
pub(super) fn perform(stage: &mut Stage, show: &mut Show<'_>) -> anyhow::Result<Tampering> {
    let file = stage.site_file();
    let before = fs::read_to_string(&file)?;
    show.attack(TITLE, Place::Container);
    let inside = format!("{SITE_INSIDE}/{SITE_FILE}");
    let began = stage
        .service(Place::Container)
        .obey(&["write".into(), inside, BAD.into()])?;
    let (detected, hook) = follow(stage, show, began, RULE, true)?;
    let after = fs::read_to_string(&file)?;
    let said_so = hook.is_some_and(|run| run.outcome() == Done::Done && run.detail.starts_with("restored"));
    let restored = if said_so && after == GOOD {
        changed(&file)?.checked_sub(began)
    } else {
        None
    };
    Ok(Tampering {
        before,
        written: BAD,
        after,
        detected,
        restored,
    })
}

/// When the kernel saw a file's content or its name change last: the time since 1970.
fn changed(file: &Path) -> anyhow::Result<Duration> {
    let found = fs::metadata(file)?;
    Ok(Duration::new(
        found.ctime().try_into()?,
        found.ctime_nsec().try_into()?,
    ))
}
