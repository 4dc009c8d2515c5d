//! What `apply` remembers of the rules for the next one (`--runtime-dir`): what it spares, and everything that makes it of no
//! use.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use ip_masq_agent::last_good::VERB;
use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};

use crate::support::disk::Ext4;
use crate::support::generation::generation;
use crate::support::netns::{AGENT, Netns};
use crate::support::ran::{Ran, host};
use crate::support::{DEADLINE, wait_until};
use crate::text;

/// What is remembered is in this file, and is to be in the other first.
const NAME: &str = "remembered-rules";
const NEW: &str = "remembered-rules.new";

const LAYOUTS: [&str; 3] = ["--backend=nft-compat", "--backend=nft --protect=off", "--backend=nft"];

/// A list of which it is worth while to remember what is in the kernel, in both families, and a few ranges more.
fn long(more: &[&str]) -> String {
    let v4 = (0..5_100).map(|index| format!("10.{}.{}.0/24", index / 100, index % 100 * 2));
    let v6 = (0..5_100).map(|index| format!("fd00:{index:x}::/48"));
    let ranges: Vec<String> = v4.chain(v6).chain(more.iter().map(|range| (*range).to_owned())).collect();
    format!("cidrLimit: 20000\nnonMasqueradeCIDRs: {ranges:?}\n")
}

/// A node, and a directory for what is remembered.
struct Node {
    netns: Netns,
    runtime_dir: PathBuf,
}

impl Node {
    fn new() -> Option<Self> {
        let netns = Netns::new("remember")?;
        let runtime_dir = netns.scratch().join("runtime");
        Some(Self { netns, runtime_dir })
    }

    fn file(&self) -> PathBuf {
        self.runtime_dir.join(NAME)
    }

    fn apply(&self, layout: &str, config: &str) -> Applied {
        self.apply_in(&self.runtime_dir, layout, config)
    }

    /// As it is without anything remembered.
    fn apply_without(&self, layout: &str, config: &str) -> Applied {
        let elsewhere = self.netns.scratch().join("elsewhere");
        let _ = fs::remove_dir_all(&elsewhere);
        self.apply_in(&elsewhere, layout, config)
    }

    fn apply_in(&self, runtime_dir: &Path, layout: &str, config: &str) -> Applied {
        let trace = self.netns.scratch().join("trace");
        let config = self.netns.write("config", config);
        let strace =
            ["-q", "-e", "trace=sendto,clone,clone3,fork,vfork", "-o", text(&trace), AGENT, "apply", "--enable-ipv6"];
        let given = ["--config", text(&config), "--runtime-dir", text(runtime_dir)];
        let layout: Vec<&str> = layout.split(' ').collect();
        let ran = self.netns.try_run("strace", &[&strace[..], &given, &layout].concat(), "").ended_with(0);
        let trace = fs::read_to_string(trace).unwrap();
        let count = |what| trace.matches(what).count();
        assert!(count("NFT_MSG_GETGEN") > 0, "strace tells what is asked: {trace}");
        let lists = count("NFT_MSG_GETSETELEM") + count("NFT_MSG_GETRULE");
        let processes = ["clone(", "clone3(", "fork("].map(count).iter().sum();
        Applied { lists, processes, ran }
    }

    /// Whether these rules are in force, as one sees who reads all of them.
    fn has(&self, layout: &str, config: &str) -> bool {
        self.apply_without(layout, config).changed_nothing()
    }
}

/// What an `apply` did.
struct Applied {
    /// How many lists of elements or rules it asked for.
    lists: usize,
    /// How many processes it started.
    processes: usize,
    ran: Ran,
}

/// A tmpfs, as `/run` is one, that only the work and the programs that it starts can see.
fn with_tmpfs(work: impl FnOnce(&Path) + Send) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            host("mount", &["--make-rprivate", "/"]);
            host("mount", &["-t", "tmpfs", "-o", "size=1M,mode=755", "tmpfs", text(path)]);
            work(path);
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

impl Applied {
    fn changed_nothing(&self) -> bool {
        self.ran.stderr.contains("nothing was changed")
    }
}

#[test]
fn nothing_to_do_and_one_range_more_list_nothing_long_that_was_remembered() {
    for layout in LAYOUTS {
        let Some(node) = Node::new() else { return };
        node.apply(layout, &long(&[]));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&node.file()), mode(&node.runtime_dir)), (0o600, 0o755));
        let written = node.file().metadata().unwrap().modified().unwrap();
        // One long list a family. In iptables' table POSTROUTING is read as well, in a table of our own the two chains.
        for _ in 0..2 {
            let [without, with] = [node.apply_without(layout, &long(&[])), node.apply(layout, &long(&[]))];
            assert!(with.changed_nothing() && without.changed_nothing(), "{layout}: {}", with.ran.stderr);
            assert_eq!(without.lists - with.lists, 2, "{layout}");
        }
        assert_eq!(node.file().metadata().unwrap().modified().unwrap(), written, "{layout}: nothing new is known");

        let [one, two] = [long(&["172.16.0.0/24"]), long(&["172.16.0.0/24", "fe00::/48"])];
        let with = node.apply(layout, &one);
        assert!(with.ran.stdout.contains("172.16.0.0"), "{layout}: {}", with.ran.stdout);
        assert!(node.has(layout, &one), "{layout}");
        let without = node.apply_without(layout, &two);
        assert!(node.has(layout, &two), "{layout}");
        assert_eq!(without.lists - with.lists, 2, "{layout}");
        if layout == LAYOUTS[0] {
            // Our chain is listed neither before nor after, but POSTROUTING of both families is.
            assert_eq!(with.lists, 4, "{layout}");
        }
    }
}

#[test]
fn where_another_process_committed_or_the_namespace_is_another_in_the_same_generation_all_is_read() {
    for layout in LAYOUTS {
        let Some(node) = Node::new() else { return };
        let (ours, theirs) = (long(&["172.16.0.0/24"]), long(&["172.17.0.0/24"]));
        for _ in 0..8 {
            node.netns.nft("add table ip filler; delete table ip filler");
        }
        node.apply(layout, &ours);

        let other = Node::new().unwrap();
        other.apply_without(layout, &theirs);
        while generation(&other.netns) < generation(&node.netns) {
            other.netns.nft("add table ip filler; delete table ip filler");
        }
        assert_eq!(generation(&other.netns), generation(&node.netns));
        let taken = other.apply_in(&node.runtime_dir, layout, &ours);
        assert!(!taken.changed_nothing() && other.has(layout, &ours), "{layout}: {}", taken.ran.stderr);

        // That has left what it knew of the other namespace.
        assert_eq!(node.apply(layout, &ours).lists, node.apply_without(layout, &ours).lists, "{layout}");
        node.apply_without(layout, &theirs);
        let taken = node.apply(layout, &ours);
        assert!(!taken.changed_nothing() && node.has(layout, &ours), "{layout}: {}", taken.ran.stderr);
    }
}

#[test]
fn a_memory_that_others_could_have_written_or_that_is_damaged_is_not_used_and_is_replaced() {
    type Spoil = fn(&Node);
    let cases: [(&str, Spoil); 9] = [
        ("everybody may write it", |node| mode(&node.file(), 0o666)),
        ("its group may write it", |node| mode(&node.file(), 0o620)),
        ("another user owns it", |node| chown(node.file(), Some(65_534), None).unwrap()),
        ("everybody may write its directory", |node| mode(&node.runtime_dir, 0o777)),
        ("another user owns its directory", |node| chown(&node.runtime_dir, Some(65_534), None).unwrap()),
        ("it is a link", |node| {
            fs::rename(node.file(), node.runtime_dir.join("other")).unwrap();
            symlink("other", node.file()).unwrap();
        }),
        ("it is a pipe", |node| {
            fs::remove_file(node.file()).unwrap();
            node.netns.run(&format!("mkfifo {}", text(&node.file())));
        }),
        ("it ends early", |node| {
            let len = node.file().metadata().unwrap().len();
            OpenOptions::new().write(true).open(node.file()).unwrap().set_len(len - 1).unwrap();
        }),
        ("it is larger than any", |node| {
            OpenOptions::new().write(true).open(node.file()).unwrap().set_len(1 << 40).unwrap();
        }),
    ];
    let Some(node) = Node::new() else { return };
    let (layout, config) = (LAYOUTS[1], long(&[]));
    node.apply(layout, &config);
    let without = node.apply_without(layout, &config).lists;
    for (what, spoil) in cases {
        spoil(&node);
        let applied = node.apply(layout, &config);
        assert!(applied.changed_nothing(), "{what}: {}", applied.ran.stderr);
        assert_eq!(applied.lists, without, "{what}");
        mode(&node.runtime_dir, 0o755);
        chown(&node.runtime_dir, Some(0), None).unwrap();
        // What root writes in another user's directory is that user's, and so is not believed in root's own.
        if node.file().metadata().unwrap().uid() != 0 {
            assert_eq!(node.apply(layout, &config).lists, without, "{what}");
        }
        assert!(node.apply(layout, &config).lists < without, "{what}: it is written anew");
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn where_it_cannot_be_written_apply_says_so_and_ends_as_it_does_without() {
    let Some(node) = Node::new() else { return };
    let [layout, config] = [LAYOUTS[1], &long(&[])];
    for directory in ["/proc/nowhere", "/nowhere/at/all", "/dev/null"] {
        let applied = node.apply_in(Path::new(directory), layout, config);
        let said = format!("what is known of them is not kept: could not create the directory {directory}: ");
        let said = if directory == "/dev/null" { "is not kept: could not replace /dev/null/" } else { &said };
        assert!(applied.ran.stderr.contains(said), "{directory}: {}", applied.ran.stderr);
    }
    assert!(node.has(layout, config));
}

#[test]
fn on_a_disk_that_is_full_or_hangs_the_rules_come_into_force_and_apply_ends() {
    let Some(node) = Node::new() else { return };
    let layout = LAYOUTS[1];
    Ext4::with(|disk| {
        let runtime_dir = disk.path().join("runtime");
        let file = runtime_dir.join(NAME);
        node.apply_in(&runtime_dir, layout, &long(&[]));
        let before = fs::read(&file).unwrap();

        let filler = disk.path().join("filler");
        let mut filling = File::create(&filler).unwrap();
        for size in [65_536, 4_096, 1_024] {
            while filling.write_all(&vec![1; size]).is_ok() {}
        }
        let full = long(&["172.16.0.0/24"]);
        let applied = node.apply_in(&runtime_dir, layout, &full);
        assert!(applied.ran.stderr.contains("is not kept: could not write "), "{}", applied.ran.stderr);
        assert_eq!((fs::read(&file).unwrap(), runtime_dir.join(NEW).exists()), (before.clone(), false));
        assert!(node.has(layout, &full));
        drop(filling);
        fs::remove_file(filler).unwrap();

        disk.freeze();
        let frozen = long(&["172.17.0.0/24"]);
        let applied = node.apply_in(&runtime_dir, layout, &frozen);
        assert!(applied.ran.stderr.contains("has not answered for 2 s"), "{}", applied.ran.stderr);
        assert_eq!(fs::read(&file).unwrap(), before);
        disk.thaw();
        wait_until(DEADLINE, "the disk answers", || fs::read(&file).unwrap() != before);
        assert!(node.apply_in(&runtime_dir, layout, &frozen).lists < node.apply_without(layout, &frozen).lists);
    });
}

#[test]
fn where_no_disk_can_hang_apply_writes_itself_and_waits_for_nobody() {
    let Some(node) = Node::new() else { return };
    let layout = LAYOUTS[1];
    with_tmpfs(|tmpfs| {
        let [runtime_dir, file] = ["runtime", "runtime/remembered-rules"].map(|name| tmpfs.join(name));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let one = long(&[]);
        assert_eq!(node.apply_in(&runtime_dir, layout, &one).processes, 0);
        assert_eq!((mode(&file), mode(&runtime_dir)), (0o600, 0o755));
        assert!(!runtime_dir.join(NEW).exists());
        assert!(node.apply_in(&runtime_dir, layout, &one).lists < node.apply_without(layout, &one).lists);

        // Whoever may read the directory can lock it.
        let lock = Flock::lock(File::open(&runtime_dir).unwrap(), FlockArg::LockShared).unwrap();
        let (two, before) = (long(&["172.16.0.0/24"]), fs::read(&file).unwrap());
        let started = Instant::now();
        let applied = node.apply_in(&runtime_dir, layout, &two);
        assert!(applied.ran.stderr.contains("is not kept: could not lock "), "{}", applied.ran.stderr);
        assert!(started.elapsed() < DEADLINE && node.has(layout, &two));
        assert_eq!((applied.processes, fs::read(&file).unwrap()), (0, before.clone()));
        drop(lock);

        let filler = tmpfs.join("filler");
        let mut filling = File::create(&filler).unwrap();
        while filling.write_all(&[1; 4_096]).is_ok() {}
        let three = long(&["172.17.0.0/24"]);
        let applied = node.apply_in(&runtime_dir, layout, &three);
        assert!(applied.ran.stderr.contains("is not kept: could not write "), "{}", applied.ran.stderr);
        assert_eq!((fs::read(&file).unwrap(), runtime_dir.join(NEW).exists()), (before, false));
        assert!(node.has(layout, &three));
        drop(filling);
        fs::remove_file(filler).unwrap();

        let four = long(&["172.18.0.0/24"]);
        assert!(!node.apply_in(&runtime_dir, layout, &four).ran.stderr.contains("is not kept"));
        assert!(node.apply_in(&runtime_dir, layout, &four).changed_nothing());
    });
    Ext4::with(|disk| {
        let applied = node.apply_in(&disk.path().join("runtime"), layout, &long(&[]));
        assert_eq!(applied.processes, 1, "a process writes to a disk");
    });
}

#[test]
fn killed_before_any_call_the_writer_leaves_the_old_memory_or_the_new() {
    const CALLS: [&str; 8] = ["mkdir", "openat", "flock", "read", "unlink", "write", "rename", "close"];
    let Some(netns) = Netns::new("remember") else { return };
    let (directory, trace) = (netns.scratch().join("runtime"), netns.scratch().join("trace"));
    let new = netns.write("given", "what is new");
    let (mut old_left, mut new_left) = (0, 0);
    for call in CALLS {
        for number in 1.. {
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join(NAME), "what is old").unwrap();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let mut command = netns.command("strace");
            command.args(["-f", "-q", "-o", text(&trace), "-e", &format!("trace={call}"), "-e", &inject]);
            command.args([AGENT, VERB, "--remember", "--state-dir", text(&directory)]);
            let ran = Ran::reading(command, File::open(&new).unwrap());
            let left = fs::read_to_string(directory.join(NAME)).unwrap();
            *(if left == "what is new" { &mut new_left } else { &mut old_left }) += 1;
            assert!(left == "what is new" || left == "what is old", "{inject}: {left}");
            if !fs::read_to_string(&trace).unwrap().contains("+++ killed by SIGKILL +++") {
                assert_eq!((ran.ended_with(0).stdout.as_str(), left.as_str()), ("written", "what is new"));
                break;
            }
        }
    }
    assert!(old_left > 10 && new_left > CALLS.len(), "{old_left} {new_left}");
}
