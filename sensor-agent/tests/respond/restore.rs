//! `restore-file`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use sensor_agent::respond::restore::{RestoreError, record};
use sensor_proto::v1::hook_run::Outcome;
use sensor_proto::v1::{Detection, File};
use tempfile::TempDir;

use super::common::{
    PATIENCE, Rig, Stranger, about, about_file, config, folder, in_container, is_root, wait_for,
};

const GOOD: &str = "listen: 127.0.0.1\n";
const BAD: &str = "listen: 0.0.0.0 # evil\n";

/// A responder that looks after `app/*.yaml`, of which `app/conf.yaml` is good and recorded.
struct Shop {
    folder: TempDir,
    conf: PathBuf,
    rig: Rig,
}

fn yaml(folder: &TempDir, mode: &str, keys: &str) -> String {
    let base = folder.path().display();
    format!(
        "mode: {mode}\nhooks: [{{name: restore, builtin: restore-file, copies: {base}/own/copies, \
         paths: ['{base}/app/*.yaml']{keys}}}]\nbindings: [{{rule: '*', hooks: [restore]}}]"
    )
}

impl Shop {
    fn new(mode: &str, keys: &str) -> Self {
        let folder = if rustix::process::geteuid().is_root() {
            folder()
        } else {
            tempfile::tempdir().unwrap()
        };
        let conf = folder.path().join("app/conf.yaml");
        fs::create_dir(folder.path().join("app")).unwrap();
        fs::write(&conf, GOOD).unwrap();
        fs::set_permissions(&conf, fs::Permissions::from_mode(0o640)).unwrap();
        let rig = Rig::new(&folder, &yaml(&folder, mode, keys));
        Self { folder, conf, rig }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn assert_good(&self) {
        assert_eq!(fs::read_to_string(&self.conf).unwrap(), GOOD);
        assert_eq!(self.conf.metadata().unwrap().mode() & 0o7777, 0o640);
        let names: Vec<_> = fs::read_dir(self.path("app"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(
            !names.iter().any(|name| name.to_str().unwrap().contains("sensor")),
            "left behind: {names:?}"
        );
    }
}

/// Everything below `folder`: what it is, when it changed, what is in it.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u64, u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = path.symlink_metadata().unwrap();
            let content = if stat.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            if stat.is_dir() {
                folders.push(path.clone());
            }
            found.insert(
                path,
                (stat.ino(), stat.mode(), stat.mtime(), stat.mtime_nsec(), content),
            );
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_put_back_and_the_change_is_kept() {
    let shop = Shop::new("act", "");
    fs::write(&shop.conf, BAD).unwrap();
    fs::set_permissions(&shop.conf, fs::Permissions::from_mode(0o666)).unwrap();
    let run = shop
        .rig
        .expect(&about_file("d", &shop.conf), Outcome::Done, "restored");
    assert!(run.detail.contains("by a new file"), "{run:?}");
    shop.assert_good();
    let evidence: Vec<_> = fs::read_dir(shop.path("own/copies/evidence"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(evidence.len(), 1);
    let evidence = fs::read_to_string(&evidence[0]).unwrap();
    let (header, content) = evidence.split_once('\n').unwrap();
    assert_eq!(content, BAD);
    let header: serde_json::Value = serde_json::from_str(header).unwrap();
    assert_eq!(
        (header["size"].as_u64(), header["detection"].as_str()),
        (Some(BAD.len() as u64), Some("d"))
    );
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_change_is_put_back() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("removed", |conf| fs::remove_file(conf).unwrap()),
        ("emptied", |conf| fs::write(conf, "").unwrap()),
        ("same length", |conf| {
            fs::write(conf, GOOD.replace('1', "2")).unwrap();
        }),
        ("mode alone", |conf| {
            fs::set_permissions(conf, fs::Permissions::from_mode(0o4777)).unwrap();
        }),
        ("replaced", |conf| {
            let other = conf.with_extension("new");
            fs::write(&other, BAD).unwrap();
            fs::rename(other, conf).unwrap();
        }),
    ];
    for (name, change) in changes {
        let shop = Shop::new("act", "");
        change(&shop.conf);
        let run = shop.rig.answer(&about_file(name, &shop.conf));
        assert_eq!(run.outcome(), Outcome::Done, "{name}: {run:?}");
        assert!(run.detail.contains("restored"), "{name}: {run:?}");
        shop.assert_good();
        shop.rig.stop(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_put_back() {
    if !is_root() {
        return;
    }
    let shop = Shop::new("act", "");
    chown(&shop.conf, Some(1000), Some(1000)).unwrap();
    shop.rig
        .expect(&about_file("d", &shop.conf), Outcome::Done, "restored");
    let found = shop.conf.metadata().unwrap();
    assert_eq!((found.uid(), found.gid()), (0, 0));
    shop.assert_good();
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_two_names_keeps_its_inode() {
    let shop = Shop::new("act", "");
    let other = shop.path("other");
    fs::hard_link(&shop.conf, &other).unwrap();
    let inode = shop.conf.metadata().unwrap().ino();
    fs::write(&other, BAD).unwrap();
    shop.rig
        .expect(&about_file("d", &shop.conf), Outcome::Done, "in place");
    assert_eq!(shop.conf.metadata().unwrap().ino(), inode);
    assert_eq!(fs::read_to_string(other).unwrap(), GOOD);
    shop.assert_good();
    shop.rig.stop(PATIENCE).await;
}

/// A process that has `source` mounted at `target` in a mount namespace of its own, as a container would, and does
/// `then`.
fn with_mount(source: &Path, target: &Path, then: &str) -> Stranger {
    let (source, target) = (source.display(), target.display());
    let unshare = ["unshare", "--mount", "--propagation", "private"];
    Stranger::below(
        &unshare,
        &format!("mount --bind {source} {target}; {then}; echo ready; read x; cat {target}"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_mounted_into_a_container_is_put_back_for_the_container_too() {
    if !is_root() {
        return;
    }
    // Once found by device and inode, once through the root of the process.
    for by_inode in [true, false] {
        let shop = Shop::new("act", "");
        let target = shop.path("mounted");
        fs::write(&target, "").unwrap();
        let tamper = format!("printf '%s' '{BAD}' > {}", target.display());
        let mut stranger = with_mount(&shop.conf, &target, &tamper);
        assert_eq!(fs::read_to_string(&shop.conf).unwrap(), BAD);
        let before = shop.conf.metadata().unwrap();
        let mut file = File {
            path: target.to_str().unwrap().into(),
            ..File::default()
        };
        if by_inode {
            (file.device, file.inode) = (before.dev(), before.ino());
        }
        let detection = Detection {
            file: Some(file),
            ..in_container(about("d", stranger.pid))
        };
        shop.rig.expect(&detection, Outcome::Done, "in place");
        shop.assert_good();
        assert_eq!(shop.conf.metadata().unwrap().ino(), before.ino());
        stranger.go_on();
        assert_eq!(stranger.line() + "\n", GOOD, "what the container sees");
        shop.rig.stop(PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_in_a_mounted_folder_is_put_back() {
    if !is_root() {
        return;
    }
    let shop = Shop::new("act", "");
    let target = shop.path("mounted");
    fs::create_dir(&target).unwrap();
    let inside = target.display();
    let tamper = format!("echo evil > {inside}/x; mv {inside}/x {inside}/conf.yaml");
    let unshare = ["unshare", "--mount", "--propagation", "private"];
    let script = format!(
        "mount --bind {} {inside}; {tamper}; echo ready; read x; cat {inside}/conf.yaml",
        shop.path("app").display()
    );
    let mut stranger = Stranger::below(&unshare, &script);
    let file = File {
        path: format!("{inside}/conf.yaml"),
        ..File::default()
    };
    let detection = Detection {
        file: Some(file),
        ..in_container(about("d", stranger.pid))
    };
    shop.rig.expect(&detection, Outcome::Done, "restored");
    shop.assert_good();
    stranger.go_on();
    assert_eq!(stranger.line() + "\n", GOOD, "what the container sees");
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_s_own_file_of_the_same_name_is_left_alone() {
    let shop = Shop::new("act", "");
    fs::write(&shop.conf, BAD).unwrap();
    let detection = in_container(about_file("d", &shop.conf));
    shop.rig
        .expect(&detection, Outcome::Refused, "none of the files with a copy");
    assert_eq!(fs::read_to_string(&shop.conf).unwrap(), BAD);
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_comes_after_the_detection_loses_too() {
    if !is_root() {
        return;
    }
    let shop = Shop::new("act", "");
    // In place: a writer that holds the same inode open is the hard case.
    fs::hard_link(&shop.conf, shop.path("other")).unwrap();
    let script = format!(
        "exec 3<>{}; echo ready; read x; echo evil >&3; read x",
        shop.conf.display()
    );
    let mut stranger = Stranger::new(&script);
    shop.rig.handle(&about_file("d", &shop.conf));
    wait_for("no intent", || {
        shop.rig
            .journal_lines()
            .iter()
            .any(|line| line["kind"] == "intent")
    });
    stranger.go_on();
    let run = shop.rig.next();
    assert_eq!(run.outcome(), Outcome::Done, "{run:?}");
    assert!(run.detail.contains("restored"), "{run:?}");
    shop.assert_good();
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_regular_file_is_refused() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 3] = [
        ("symbolic link", |conf| symlink("/etc/passwd", conf).unwrap()),
        ("not a regular file", |conf| fs::create_dir(conf).unwrap()),
        ("not a regular file", |conf| {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                conf,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o666),
                0,
            )
            .unwrap();
        }),
    ];
    let passwd = fs::read("/etc/passwd").unwrap();
    for (why, change) in changes {
        let shop = Shop::new("act", "");
        fs::remove_file(&shop.conf).unwrap();
        change(&shop.conf);
        let before = tree(&shop.path("app"));
        shop.rig
            .expect(&about_file("d", &shop.conf), Outcome::Refused, why);
        assert_eq!(tree(&shop.path("app")), before);
        shop.rig.stop(PATIENCE).await;
    }
    assert_eq!(fs::read("/etc/passwd").unwrap(), passwd);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_became_a_link_is_refused() {
    let shop = Shop::new("act", "");
    let elsewhere = shop.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir_all(shop.path("app")).unwrap();
    symlink(&elsewhere, shop.path("app")).unwrap();
    shop.rig
        .expect(&about_file("d", &shop.conf), Outcome::Refused, "symbolic link");
    assert!(tree(&elsewhere).is_empty());
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_is_refused() {
    let shop = Shop::new("act", "");
    let copies = shop.path("own/copies");
    let copy = fs::read_dir(&copies).unwrap().next().unwrap().unwrap().path();
    let good = fs::read_to_string(&copy).unwrap();
    fs::write(&shop.conf, BAD).unwrap();
    fs::write(&copy, good.replace("127.0.0.1", "127.0.0.2")).unwrap();
    shop.rig
        .expect(&about_file("one", &shop.conf), Outcome::Refused, "damaged");
    assert_eq!(fs::read_to_string(&shop.conf).unwrap(), BAD);
    shop.rig.stop(PATIENCE).await;

    fs::write(&copy, good).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o666)).unwrap();
    let rig = Rig::new(&shop.folder, &yaml(&shop.folder, "act", ""));
    // It is not even known what such a copy is of.
    let run = rig.answer(&about_file("two", &shop.conf));
    assert_eq!(run.outcome(), Outcome::Refused, "{run:?}");
    assert_eq!(fs::read_to_string(&shop.conf).unwrap(), BAD);
    rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_changes_nothing() {
    let shop = Shop::new("observe", "");
    fs::write(&shop.conf, BAD).unwrap();
    let before = (tree(&shop.path("app")), tree(&shop.path("own/copies")));
    let run = shop
        .rig
        .expect(&about_file("d", &shop.conf), Outcome::Observed, "would restore");
    assert!(run.detail.contains("it has 23 bytes, not 18"), "{run:?}");
    assert_eq!((tree(&shop.path("app")), tree(&shop.path("own/copies"))), before);
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_change_in_the_cooldown_is_suppressed_and_said() {
    let shop = Shop::new("act", "");
    for (id, outcome, detail) in [
        ("one", Outcome::Done, "restored"),
        ("two", Outcome::Suppressed, "what happened since is not undone"),
    ] {
        fs::write(&shop.conf, BAD).unwrap();
        shop.rig.expect(&about_file(id, &shop.conf), outcome, detail);
    }
    assert_eq!(fs::read_to_string(&shop.conf).unwrap(), BAD);
    shop.rig.stop(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_never_takes_a_changed_file_for_good_but_a_person_can() {
    let shop = Shop::new("act", ", cooldown_s: 0");
    fs::write(&shop.conf, BAD).unwrap();
    shop.rig.stop(PATIENCE).await;
    let yaml = yaml(&shop.folder, "act", ", cooldown_s: 0");
    let rig = Rig::new(&shop.folder, &yaml);
    rig.expect(&about_file("d", &shop.conf), Outcome::Done, "restored");
    assert_eq!(fs::read_to_string(&shop.conf).unwrap(), GOOD);

    let config = config(&shop.folder, &yaml);
    let path = shop.conf.to_str().unwrap().to_owned();
    fs::write(&shop.conf, BAD).unwrap();
    let recorded = record(&config, std::slice::from_ref(&path)).unwrap();
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded, record(&config, &[]).unwrap());
    assert_eq!(recorded[0].0, path);
    rig.expect(&about_file("d", &shop.conf), Outcome::Done, "as recorded");
    assert_eq!(fs::read_to_string(&shop.conf).unwrap(), BAD);
    let other = record(&config, &["/etc/passwd".into()]);
    assert!(matches!(other, Err(RestoreError::NotConfigured(_))), "{other:?}");
    rig.stop(PATIENCE).await;
}
