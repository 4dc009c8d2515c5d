//! What only a namespace of its own can be changed for: mounts, and the limits of a user.

use std::process::Command;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::*;

/// A user namespace has limits of its own, which its root may set, and mounts of its own: so the tests below run themselves
/// in one.
fn in_a_user_namespace(test: &str, check: impl FnOnce()) {
    const CHILD: &str = "IP_MASQ_AGENT_TEST_WATCH_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return check();
    }
    let name = format!("{}::{test}", module_path!().trim_start_matches("ip_masq_agent::"));
    #[expect(
        clippy::disallowed_methods,
        reason = "the limits and mounts under test belong to a user namespace, which no thread can enter"
    )]
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--mount"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env(CHILD, "1");
    let output = unshare.output().expect("unshare is installed");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{output:?}");
}

fn limit(name: &str, number: u32) {
    fs::write(format!("/proc/sys/user/{name}"), number.to_string()).unwrap();
}

/// Runs a check in such a namespace, with an event loop.
fn in_a_user_namespace_with_a_loop(test: &str, check: impl Future<Output = ()>) {
    in_a_user_namespace(test, || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(check);
    });
}

#[test]
fn every_way_to_move_a_parent_or_to_mount_over_it_is_heard() {
    const NONE: Option<&str> = None;
    let bind = |from: PathBuf, to: PathBuf| mount(Some(&from), &to, NONE, MsFlags::MS_BIND, NONE).unwrap();
    let name = "every_way_to_move_a_parent_or_to_mount_over_it_is_heard";
    in_a_user_namespace_with_a_loop(name, async {
        let file: fn(&Path) = |root| {
            file_in(root, "a/b/c", "a");
            file_in(root, "other/b/c", "b");
        };
        let mounted: fn(&Path) = |root| {
            file_in(root, "a/b/c", "a");
            mount(NONE, &root.join("a"), Some("tmpfs"), MsFlags::empty(), NONE).unwrap();
            file_in(root, "a/b/c", "b");
        };
        let scenarios: [Scenario<'_>; 5] = [
            (
                "a parent is renamed away, and another takes its place",
                file,
                &[
                    (|root| fs::rename(root.join("a"), root.join("old")).unwrap(), None),
                    (|root| fs::rename(root.join("other"), root.join("a")).unwrap(), Some("b")),
                    (|root| fs::write(root.join("a/b/c/conf"), "c").unwrap(), Some("c")),
                ],
            ),
            (
                "two parents change places",
                file,
                &[(
                    |root| {
                        let (one, other) = (root.join("a"), root.join("other"));
                        renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE).unwrap();
                    },
                    Some("b"),
                )],
            ),
            (
                "a parent is mounted over, and bare again",
                file,
                &[
                    (|root| mount(NONE, &root.join("a"), Some("tmpfs"), MsFlags::empty(), NONE).unwrap(), None),
                    (|root| file_in(root, "a/b/c", "d"), Some("d")),
                    (|root| umount2(&root.join("a"), MntFlags::empty()).unwrap(), Some("a")),
                ],
            ),
            (
                "the mount that holds it is taken away while it is in use",
                mounted,
                &[
                    (|root| umount2(&root.join("a"), MntFlags::MNT_DETACH).unwrap(), Some("a")),
                    (|root| fs::write(root.join("a/b/c/conf"), "e").unwrap(), Some("e")),
                ],
            ),
            (
                "the mount that holds it goes",
                mounted,
                &[(|root| umount2(&root.join("a"), MntFlags::empty()).unwrap(), Some("a"))],
            ),
        ];
        for (scenario, layout, steps) in scenarios {
            all_steps_are_heard(scenario, "a/b/c/conf", layout, steps).await;
        }
        // The file itself, which a container often gets so.
        let mut watched = Watched::new("a/b/c/conf", file);
        let root = watched.directory.path();
        bind(root.join("other/b/c/conf"), root.join("a/b/c/conf"));
        watched.hears("the file is mounted over", 0, Some("b")).await;
    });
}

#[test]
fn a_mount_elsewhere_raises_nothing() {
    in_a_user_namespace_with_a_loop("a_mount_elsewhere_raises_nothing", async {
        let mut watched = Watched::new("a/conf", |root| {
            file_in(root, "a", "a");
            fs::create_dir(root.join("elsewhere")).unwrap();
        });
        let elsewhere = watched.directory.path().join("elsewhere");
        for _ in 0..3 {
            mount(None::<&str>, &elsewhere, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
            timeout(DEADLINE, watched.watch.hear()).await.expect("the mount is noticed");
            assert_eq!(watched.watch.changes, Changes::default(), "the mount is taken for a change of the file");
            umount2(&elsewhere, MntFlags::empty()).unwrap();
            timeout(DEADLINE, watched.watch.hear()).await.expect("its end is noticed");
            assert_eq!(watched.watch.changes, Changes::default(), "its end is taken for a change of the file");
        }
    });
}

#[test]
fn a_limit_that_is_reached_is_named_and_once_it_is_raised_the_next_refresh_watches() {
    let name = "a_limit_that_is_reached_is_named_and_once_it_is_raised_the_next_refresh_watches";
    in_a_user_namespace_with_a_loop(name, async {
        for (name, expected) in [
            (
                "max_inotify_instances",
                "no inotify instance left; changes are noticed at the next resync; raise `sysctl fs.",
            ),
            ("max_inotify_watches", "no inotify watch left; changes are noticed at the next resync; raise `sysctl fs."),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let mut watch = ConfigWatch::new(SourcePaths::one(file.path()));
            limit(name, 0);
            for _ in 0..2 {
                let message = watch.refresh().unwrap_err().to_string();
                assert!(message.contains(expected), "{message}");
            }
            limit(name, 100);
            assert!(matches!(watch.refresh(), Ok(())));
        }
    });
}

#[test]
fn one_instance_serves_for_life_and_watches_that_are_still_right_are_kept() {
    let name = "one_instance_serves_for_life_and_watches_that_are_still_right_are_kept";
    in_a_user_namespace_with_a_loop(name, async {
        let mut watched = Watched::new("a/conf", |root| file_in(root, "a", "a"));
        limit("max_inotify_instances", 0);
        limit("max_inotify_watches", 0);
        assert!(matches!(watched.watch.refresh(), Ok(())), "new watches are set");
        fs::write(&watched.path, "b").unwrap();
        watched.hears("written", 0, Some("b")).await;
        // A new file needs a watch, but no new instance.
        limit("max_inotify_watches", 100);
        rename_over(&watched.directory.path().join("a"), "c");
        watched.hears("renamed over", 1, Some("c")).await;
        fs::write(&watched.path, "d").unwrap();
        watched.hears("written again", 2, Some("d")).await;
    });
}
