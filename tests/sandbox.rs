//! `--sandbox` on the kernel at hand, for root and for everybody else.
//!
//! A process of several threads cannot enter a user namespace, and the usual test harness starts threads. So this test
//! has a `main` of its own, and calls its own binary: that child enters the sandbox and prints what it sees there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic in a test is a failed test")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests/support wants the usual harness, whose threads this test cannot have"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use ip_masq_agent::sandbox;
use nix::unistd::geteuid;

/// Tells the binary that it is the child.
const CHILD: &str = "IP_MASQ_AGENT_TEST_SANDBOX_CHILD";
/// A user with no privileges, and in no relation to the files here.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
/// A user namespace that allows none below it: its own limit is its own to set, and the host's stays as it is.
const NO_FURTHER_NAMESPACE: [&str; 6] =
    ["unshare", "--map-root-user", "sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$@\"", "sh"];
/// The same, and then without the privilege to create a network namespace.
const NO_PRIVILEGE: [&str; 2] = ["setpriv", "--bounding-set=-sys_admin"];

type Case = fn(&Path);

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    // Every user must be able to reach the binary, wherever the build directory is.
    let directory = tempfile::tempdir_in("/tmp").expect("a directory under /tmp");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("a directory for everybody");
    let binary = directory.path().join("sandbox");
    fs::copy(std::env::current_exe().expect("this binary"), &binary).expect("a copy of this binary");

    let cases: [(&str, Case); 4] = [
        ("root_gets_namespaces_of_its_own", root_gets_namespaces_of_its_own),
        ("a_user_without_privileges_is_root_inside", a_user_without_privileges_is_root_inside),
        (
            "root_without_user_namespaces_gets_a_network_namespace",
            root_without_user_namespaces_gets_a_network_namespace,
        ),
        (
            "a_system_that_forbids_namespaces_is_named_as_the_reason",
            a_system_that_forbids_namespaces_is_named_as_the_reason,
        ),
    ];
    for (name, case) in cases {
        case(&binary);
        println!("test {name} ... ok");
    }
    println!("test result: ok. {} passed; 0 failed", cases.len());
    ExitCode::SUCCESS
}

fn root_gets_namespaces_of_its_own(binary: &Path) {
    // Root is simply root here; any other user becomes root of a namespace that this user may have.
    let root: &[&str] = if geteuid().is_root() { &[] } else { &["unshare", "--map-root-user"] };
    assert_isolated(&run(root, binary));
}

fn a_user_without_privileges_is_root_inside(binary: &Path) {
    let nobody: &[&str] = if geteuid().is_root() { &NOBODY } else { &[] };
    let output = run(nobody, binary);
    assert_isolated(&output);
    assert_ne!(line(&output, "uid before"), "0");
}

fn root_without_user_namespaces_gets_a_network_namespace(binary: &Path) {
    let output = run(&NO_FURTHER_NAMESPACE, binary);
    assert_eq!(
        line(&output, "entered"),
        "in a network namespace of its own, with the caller's privileges: a user namespace was refused (ENOSPC: No space \
         left on device)"
    );
    assert_eq!(line(&output, "user before"), line(&output, "user after"));
    assert_ne!(line(&output, "net before"), line(&output, "net after"));
    assert_eq!(line(&output, "interfaces"), "lo");
}

fn a_system_that_forbids_namespaces_is_named_as_the_reason(binary: &Path) {
    let output = run(&[&NO_FURTHER_NAMESPACE[..], &NO_PRIVILEGE].concat(), binary);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("ENOSPC"), "{message}");
    assert!(message.contains("raise `sysctl user.max_user_namespaces`"), "{message}");
    assert_eq!(line(&output, "net before"), line(&output, "net after"), "nothing was entered");
}

/// Both namespaces are new, the process is root in them, and it may do there what the agent does.
fn assert_isolated(output: &Output) {
    assert_eq!(line(output, "entered"), "in a user and network namespace of its own");
    assert_ne!(line(output, "user before"), line(output, "user after"));
    assert_ne!(line(output, "net before"), line(output, "net after"));
    assert_eq!((line(output, "uid after"), line(output, "gid after")), ("0".to_owned(), "0".to_owned()));
    assert_eq!(line(output, "interfaces"), "lo", "an interface of the host is visible");
    assert_eq!(line(output, "adds a table"), "true");
}

/// Runs the child behind a launcher that gives it its privileges.
#[expect(
    clippy::disallowed_methods,
    reason = "tests/support wants the usual harness, whose threads this test cannot have"
)]
fn run(launcher: &[&str], binary: &Path) -> Output {
    let mut words = launcher.iter().map(AsRef::as_ref).chain([binary.as_os_str()]);
    let program = words.next().expect("at least the binary");
    Command::new(program).args(words).env(CHILD, "1").output().expect("the launcher is installed")
}

/// What the child printed behind `key: `.
fn line(output: &Output, key: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {key:?} in {output:?}")).to_owned()
}

fn child() -> ExitCode {
    tell("before");
    let entered = sandbox::enter();
    tell("after");
    match entered {
        Ok(entered) => println!("entered: {entered}"),
        Err(error) => {
            eprintln!("{error}");
            return error.exit().into();
        }
    }
    println!("interfaces: {}", interfaces());
    let nft = Command::new("nft").args(["add", "table", "ip", "probe"]).status().expect("nft is installed");
    println!("adds a table: {}", nft.success());
    ExitCode::SUCCESS
}

/// The process's ids and namespaces, as the kernel names them.
fn tell(when: &str) {
    println!("uid {when}: {}", geteuid());
    println!("gid {when}: {}", nix::unistd::getegid());
    for namespace in ["user", "net"] {
        let name = fs::read_link(format!("/proc/self/ns/{namespace}")).expect("procfs is mounted");
        println!("{namespace} {when}: {}", name.display());
    }
}

/// The interfaces of the network namespace.
fn interfaces() -> String {
    let table = fs::read_to_string("/proc/self/net/dev").expect("procfs is mounted");
    let names = table.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.collect::<Vec<_>>().join(" ")
}
