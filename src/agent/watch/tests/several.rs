//! Several files, watched through one inotify instance.

use super::*;
use crate::config::{Source, SourceSet};

/// The paths of these files below a directory.
fn paths_of(root: &Path, names: &[&str]) -> SourcePaths {
    let source = |name: &&str| Source { path: root.join(name), content: None };
    SourceSet::new(names.iter().map(source).collect()).unwrap().paths()
}

/// A change of the first file below the directory of the test, and what it holds once that is heard.
type Change = (&'static str, fn(&Path), Option<&'static str>);

/// Files in one directory, in two, one behind kubelet's links, and one twice.
const LAYOUTS: [(&str, [&str; 2]); 4] = [
    ("one directory", ["d/conf", "d/other"]),
    ("two directories", ["d/conf", "e/other"]),
    ("behind a link that is swapped", ["d/conf", "k/conf"]),
    ("one file by two paths", ["d/conf", "l/conf"]),
];

fn lay_out(root: &Path) {
    file_in(root, "d", "a");
    fs::create_dir(root.join("e")).unwrap();
    fs::create_dir(root.join("k")).unwrap();
    kubelet(&root.join("k"), "..1");
    symlink("d", root.join("l")).unwrap();
}

async fn is_heard(watch: &mut ConfigWatch, what: &str) {
    assert!(timeout(DEADLINE, watch.changed()).await.is_ok(), "not heard within {DEADLINE:?}: {what}");
    watch.refresh().unwrap();
    assert!(watch.is_whole());
}

async fn nothing_is_heard(watch: &mut ConfigWatch, what: &str) {
    // What is there to hear is there at once: nobody writes any more.
    assert!(timeout(WRITER_GRACE, watch.changed()).await.is_err(), "heard: {what}");
}

#[tokio::test]
async fn a_change_of_either_of_two_files_is_heard_wherever_they_are() {
    let changes: [Change; 4] = [
        ("the first is renamed over", |root| rename_over(&root.join("d"), "b"), Some("b")),
        ("the first goes", |root| fs::remove_file(root.join("d/conf")).unwrap(), None),
        ("the first comes back", |root| fs::write(root.join("d/conf"), "c").unwrap(), Some("c")),
        ("its directory goes", |root| fs::rename(root.join("d"), root.join("away")).unwrap(), None),
    ];
    for (layout, names) in LAYOUTS {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        lay_out(root);
        let mut watch = ConfigWatch::new(paths_of(root, &names));
        watch.refresh().unwrap();
        nothing_is_heard(&mut watch, layout).await;
        for (what, change, first) in changes {
            change(root);
            is_heard(&mut watch, &format!("{layout}: {what}")).await;
            assert_eq!(fs::read_to_string(root.join(names[0])).ok().as_deref(), first, "{layout}: {what}");
        }
    }
    let of_the_second: [fn(&Path); 4] = [
        |root| fs::write(root.join("d/other"), "b").unwrap(),
        |root| fs::write(root.join("e/other"), "b").unwrap(),
        |root| kubelet(&root.join("k"), "..2"),
        |root| relink(root, "l", "e"),
    ];
    for ((layout, names), change) in LAYOUTS.into_iter().zip(of_the_second) {
        let directory = tempfile::tempdir().unwrap();
        lay_out(directory.path());
        let mut watch = ConfigWatch::new(paths_of(directory.path(), &names));
        watch.refresh().unwrap();
        change(directory.path());
        is_heard(&mut watch, layout).await;
    }
}

/// Its name, two files, a change, and what is heard of that first.
type Case<'a> = (&'a str, [&'a str; 2], fn(&Path), News);

#[tokio::test]
async fn what_replaces_one_of_two_files_may_be_followed_by_the_other_and_a_swap_replaces_both() {
    let cases: [Case<'_>; 3] = [
        ("one of two", ["d/conf", "d/other"], |root| rename_over(&root.join("d"), "b"), News::Finished),
        ("one by two paths", ["d/conf", "l/conf"], |root| rename_over(&root.join("d"), "b"), News::Replaced),
        ("behind one link", ["k/conf", "k/..data/other"], |root| kubelet(&root.join("k"), "..2"), News::Replaced),
    ];
    for (case, names, change, expected) in cases {
        let directory = tempfile::tempdir().unwrap();
        lay_out(directory.path());
        let mut watch = ConfigWatch::new(paths_of(directory.path(), &names));
        watch.refresh().unwrap();
        change(directory.path());
        let heard = watch.watches.as_mut().unwrap().drain();
        assert_eq!(heard.first(), Some(&expected), "{case}: {heard:?}");
    }
}

#[tokio::test]
async fn changes_of_both_files_are_one_change_and_that_of_neither_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    lay_out(root);
    let mut watch = ConfigWatch::new(paths_of(root, &["d/conf", "e/other"]));
    watch.refresh().unwrap();
    rename_over(&root.join("d"), "b");
    fs::write(root.join("e/other"), "b").unwrap();
    is_heard(&mut watch, "both").await;
    nothing_is_heard(&mut watch, "a second change").await;
    // Each name matters in the directory of its file only.
    fs::write(root.join("d/other"), "x").unwrap();
    fs::write(root.join("e/conf"), "x").unwrap();
    nothing_is_heard(&mut watch, "a name of one file in the directory of the other").await;
}
