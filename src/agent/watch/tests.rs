//! Every way in which a configuration file changes, on a real kernel.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::changes::WRITER_GRACE;
use super::*;

mod namespace;
mod pauses;
mod several;

const DEADLINE: Duration = Duration::from_secs(10);

/// A change, made below the directory of the test, and what is read once it is heard; `None` for no file.
type Step = (fn(&Path), Option<&'static str>);

/// Its name, the layout it starts from, and what happens then.
type Scenario<'a> = (&'a str, fn(&Path), &'a [Step]);

/// A watched file named `conf`, below a directory laid out as the scenario wants it.
struct Watched {
    directory: TempDir,
    path: PathBuf,
    watch: ConfigWatch,
}

impl Watched {
    fn new(path: &str, layout: impl Fn(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        layout(directory.path());
        let path = directory.path().join(path);
        let mut watch = ConfigWatch::new(SourcePaths::one(&path));
        watch.refresh().unwrap();
        assert!(watch.is_whole());
        Self { directory, path, watch }
    }

    fn read(&self) -> Option<String> {
        fs::read_to_string(&self.path).ok()
    }

    /// Does as the agent does, awaiting a change before each reading, until the content is the expected one.
    async fn hears(&mut self, scenario: &str, step: usize, expected: Option<&str>) {
        let heard = timeout(DEADLINE, async {
            loop {
                self.watch.changed().await;
                self.watch.refresh().unwrap();
                let read = self.read();
                if self.watch.is_whole() && read.as_deref() == expected {
                    break;
                }
            }
        });
        assert!(heard.await.is_ok(), "{scenario}, step {step}: not heard within {DEADLINE:?}; read {:?}", self.read());
    }
}

/// A tree as kubelet lays it out: `conf` → `..data/conf`, `..data` → the directory of this version.
fn kubelet(root: &Path, version: &str) {
    fs::create_dir(root.join(version)).unwrap();
    fs::write(root.join(version).join("conf"), version).unwrap();
    let old = fs::read_link(root.join("..data"));
    symlink(version, root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    match old {
        Ok(old) => fs::remove_dir_all(root.join(old)).unwrap(),
        Err(_) => symlink("..data/conf", root.join("conf")).unwrap(),
    }
}

fn rename_over(root: &Path, content: &str) {
    fs::write(root.join("new"), content).unwrap();
    fs::rename(root.join("new"), root.join("conf")).unwrap();
}

/// Replaces the symbolic link `link`.
fn relink(root: &Path, link: &str, target: &str) {
    symlink(target, root.join("relink")).unwrap();
    fs::rename(root.join("relink"), root.join(link)).unwrap();
}

fn file_in(root: &Path, directory: &str, content: &str) {
    fs::create_dir_all(root.join(directory)).unwrap();
    fs::write(root.join(directory).join("conf"), content).unwrap();
}

async fn all_steps_are_heard(scenario: &str, path: &str, layout: fn(&Path), steps: &[Step]) {
    // One after the other, as the agent lives through them.
    let mut watched = Watched::new(path, layout);
    for (step, (change, expected)) in steps.iter().enumerate() {
        change(watched.directory.path());
        watched.hears(scenario, step, *expected).await;
    }
    // Each alone, so that no late echo of the step before can stand in for it.
    for (step, (change, expected)) in steps.iter().enumerate() {
        let mut watched = Watched::new(path, |root| {
            layout(root);
            steps.iter().take(step).for_each(|(change, _)| change(root));
        });
        change(watched.directory.path());
        watched.hears(scenario, step, *expected).await;
    }
}

#[tokio::test]
async fn every_way_to_change_the_file_itself_is_heard() {
    let file: fn(&Path) = |root| fs::write(root.join("conf"), "a").unwrap();
    let scenarios: [Scenario<'_>; 5] = [
        (
            "written in place",
            file,
            &[
                (|root| fs::write(root.join("conf"), "b").unwrap(), Some("b")),
                (|root| fs::write(root.join("conf"), "c").unwrap(), Some("c")),
            ],
        ),
        (
            "renamed over, then written in place",
            file,
            &[
                (|root| rename_over(root, "b"), Some("b")),
                (|root| rename_over(root, "c"), Some("c")),
                (|root| fs::write(root.join("conf"), "d").unwrap(), Some("d")),
            ],
        ),
        (
            "deleted and back",
            file,
            &[
                (|root| fs::remove_file(root.join("conf")).unwrap(), None),
                (|root| fs::write(root.join("conf"), "b").unwrap(), Some("b")),
                (|root| fs::rename(root.join("conf"), root.join("away")).unwrap(), None),
                (|root| fs::rename(root.join("away"), root.join("conf")).unwrap(), Some("b")),
            ],
        ),
        ("absent at first", |_| {}, &[(|root| fs::write(root.join("conf"), "a").unwrap(), Some("a"))]),
        (
            "written under another name, as behind a bind mount",
            |root| {
                fs::write(root.join("conf"), "a").unwrap();
                fs::create_dir(root.join("other")).unwrap();
                fs::hard_link(root.join("conf"), root.join("other/name")).unwrap();
            },
            &[(|root| fs::write(root.join("other/name"), "b").unwrap(), Some("b"))],
        ),
    ];
    for (scenario, layout, steps) in scenarios {
        all_steps_are_heard(scenario, "conf", layout, steps).await;
    }
}

#[tokio::test]
async fn every_way_to_change_its_directories_is_heard() {
    let file: fn(&Path) = |root| file_in(root, "a/b", "a");
    let scenarios: [Scenario<'_>; 4] = [
        (
            "no directory yet",
            |_| {},
            &[
                (|root| file_in(root, "a/b", "a"), Some("a")),
                (|root| fs::write(root.join("a/b/conf"), "b").unwrap(), Some("b")),
            ],
        ),
        (
            "a whole tree renamed into place",
            |root| file_in(root, "elsewhere/b", "a"),
            &[(|root| fs::rename(root.join("elsewhere"), root.join("a")).unwrap(), Some("a"))],
        ),
        (
            "deleted and made again",
            file,
            &[
                (|root| fs::remove_dir_all(root.join("a")).unwrap(), None),
                (|root| file_in(root, "a/b", "b"), Some("b")),
                (|root| fs::remove_dir_all(root.join("a/b")).unwrap(), None),
                (|root| file_in(root, "a/b", "c"), Some("c")),
            ],
        ),
        (
            "replaced by another, before the old one is deleted",
            file,
            &[
                (
                    |root| {
                        fs::rename(root.join("a/b"), root.join("a/old")).unwrap();
                        file_in(root, "a/b", "b");
                    },
                    Some("b"),
                ),
                (
                    |root| {
                        fs::remove_dir_all(root.join("a/old")).unwrap();
                        fs::write(root.join("a/b/conf"), "c").unwrap();
                    },
                    Some("c"),
                ),
            ],
        ),
    ];
    for (scenario, layout, steps) in scenarios {
        all_steps_are_heard(scenario, "a/b/conf", layout, steps).await;
    }
}

#[tokio::test]
async fn every_way_to_change_what_a_link_leads_to_is_heard() {
    let linked: fn(&Path) = |root| {
        file_in(root, "one", "a");
        file_in(root, "two", "b");
        symlink("one/conf", root.join("conf")).unwrap();
    };
    let scenarios: [Scenario<'_>; 5] = [
        (
            "kubelet's swap",
            |root| kubelet(root, "..1"),
            &[
                (|root| kubelet(root, "..2"), Some("..2")),
                (|root| kubelet(root, "..3"), Some("..3")),
                (|root| fs::write(root.join("..3/conf"), "by hand").unwrap(), Some("by hand")),
            ],
        ),
        ("kubelet's first tree", |_| {}, &[(|root| kubelet(root, "..1"), Some("..1"))]),
        (
            "the target or the link changes",
            linked,
            &[
                (|root| fs::write(root.join("one/conf"), "c").unwrap(), Some("c")),
                (|root| rename_over(&root.join("one"), "d"), Some("d")),
                (|root| relink(root, "conf", "two/conf"), Some("b")),
                (|root| fs::remove_file(root.join("two/conf")).unwrap(), None),
                (|root| fs::write(root.join("two/conf"), "e").unwrap(), Some("e")),
            ],
        ),
        (
            "dangling at first",
            |root| symlink("x/y/conf", root.join("conf")).unwrap(),
            &[(|root| file_in(root, "x/y", "a"), Some("a"))],
        ),
        (
            "a circle at first",
            |root| symlink("conf", root.join("conf")).unwrap(),
            &[(|root| rename_over(root, "a"), Some("a"))],
        ),
    ];
    for (scenario, layout, steps) in scenarios {
        all_steps_are_heard(scenario, "conf", layout, steps).await;
    }
}

#[tokio::test]
async fn a_writer_that_keeps_the_file_open_is_heard() {
    let mut watched = Watched::new("conf", |root| fs::write(root.join("conf"), "a").unwrap());
    let mut file = OpenOptions::new().append(true).open(&watched.path).unwrap();
    file.write_all(b"b").unwrap();
    watched.hears("kept open", 0, Some("ab")).await;
}

#[tokio::test]
async fn a_change_between_refresh_and_reading_is_heard_and_one_before_is_not_heard_twice() {
    let mut watched = Watched::new("conf", |root| fs::write(root.join("conf"), "a").unwrap());
    rename_over(watched.directory.path(), "b");
    watched.hears("before the reading", 0, Some("b")).await;
    rename_over(watched.directory.path(), "c");
    watched.watch.refresh().unwrap();
    assert_eq!(watched.read().as_deref(), Some("c"));
    assert!(watched.watch.is_whole());
    rename_over(watched.directory.path(), "d");
    watched.hears("after the reading", 1, Some("d")).await;
}

#[tokio::test]
async fn neighbours_and_readers_raise_nothing() {
    let mut watched = Watched::new("conf", |root| {
        kubelet(root, "..1");
        fs::write(root.join("neighbour"), "").unwrap();
    });
    let root = watched.directory.path();
    for directory in [root.to_owned(), root.join("..1")] {
        let neighbour = directory.join("another");
        fs::write(&neighbour, "x").unwrap();
        fs::set_permissions(&neighbour, Permissions::from_mode(0o600)).unwrap();
        fs::rename(&neighbour, directory.join("moved")).unwrap();
        fs::remove_file(directory.join("moved")).unwrap();
        fs::create_dir(&neighbour).unwrap();
        fs::remove_dir(&neighbour).unwrap();
    }
    assert_eq!(fs::read_dir(root).unwrap().count(), 4);
    assert_eq!(watched.read().as_deref(), Some("..1"));
    // inotify keeps the order: once this write is heard, all of the above was. Each of those would have settled, this
    // one, of a writer that does not close, does not.
    let mut file = OpenOptions::new().append(true).open(&watched.path).unwrap();
    file.write_all(b"!").unwrap();
    let begins = Instant::now();
    while watched.watch.changes == Changes::default() {
        timeout(DEADLINE, watched.watch.hear()).await.expect("the write is heard");
    }
    let read_at = |watch: &ConfigWatch| watch.changes.read_at(None).unwrap();
    assert!(read_at(&watched.watch) >= begins + WRITER_GRACE, "a neighbour or a reader was heard");
    drop(file);
    while read_at(&watched.watch) >= begins + WRITER_GRACE {
        timeout(DEADLINE, watched.watch.hear()).await.expect("the end of the write is heard");
    }
}

#[tokio::test]
async fn a_burst_is_one_change() {
    let mut watched = Watched::new("conf", |root| fs::write(root.join("conf"), "a").unwrap());
    for number in 0..1000 {
        rename_over(watched.directory.path(), &number.to_string());
    }
    timeout(DEADLINE, watched.watch.changed()).await.expect("a change");
    watched.watch.refresh().unwrap();
    assert_eq!(watched.read().as_deref(), Some("999"));
    assert!(watched.watch.is_whole());
    assert!(timeout(Duration::ZERO, watched.watch.changed()).await.is_err(), "a second change");
}

#[tokio::test]
async fn losing_the_future_loses_no_change() {
    let mut watched = Watched::new("conf", |root| fs::write(root.join("conf"), "a").unwrap());
    let mut file = OpenOptions::new().append(true).open(&watched.path).unwrap();
    file.write_all(b"b").unwrap();
    // Each poll may take an event and start the grace; the future is dropped right after.
    while watched.watch.changes == Changes::default() {
        assert!(timeout(Duration::ZERO, watched.watch.changed()).await.is_err());
        tokio::task::yield_now().await;
    }
    timeout(DEADLINE, watched.watch.changed()).await.expect("the change is still there");
}

#[tokio::test]
async fn a_directory_that_goes_while_somebody_is_in_it_is_heard_of() {
    let mut watched = Watched::new("a/b/conf", |root| file_in(root, "a/b", "a"));
    let root = watched.directory.path().to_owned();
    // A process whose current directory it is keeps inotify from reporting its deletion.
    let _in_it = fs::File::open(root.join("a/b")).unwrap();
    fs::remove_file(root.join("a/b/conf")).unwrap();
    watched.hears("the file goes", 0, None).await;
    fs::remove_dir(root.join("a/b")).unwrap();
    fs::create_dir(root.join("a/b")).unwrap();
    fs::write(root.join("a/b/conf"), "b").unwrap();
    watched.hears("its directory goes and comes", 1, Some("b")).await;
}
