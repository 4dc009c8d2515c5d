//! The programs that judge `deploy/`: those that `tests/deploy/install-tools.sh` has put below the target directory, and those
//! that `make deps` has installed by apt.

use std::path::Path;
use std::process::Command;

use crate::support;
pub(crate) use crate::support::unpacked::python;

/// The repository.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A command for `program` of the unpacked ones: `promtool`, `kustomize`; started in the repository.
pub(crate) fn unpacked(program: &str) -> Command {
    support::unpacked::program(&format!("bin/{program}"))
}

/// What `command` writes to its standard output; fails with all that it said if it ends with an error.
pub(crate) fn output(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}

#[test]
fn the_tools_that_judge_deploy_are_installed_and_run() {
    for (program, argument) in [("promtool", "--version"), ("kustomize", "version")] {
        let mut command = unpacked(program);
        command.arg(argument);
        assert!(!output(command).is_empty(), "{program}");
    }
    let mut command = python();
    command.args(["-c", "import helm_python, kubernetes_validate, jsonschema, yaml; print('ok')"]);
    assert_eq!(output(command), "ok\n");
}

/// Kustomize's output for these folders of `deploy/kubernetes/` together.
pub(crate) fn kustomized(resources: &[&str], components: &[&str]) -> String {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = scratch.path().canonicalize().unwrap();
    // Kustomize takes no paths from the root.
    let up = "../".repeat(root.components().count() - 1);
    let listed = |key: &str, folders: &[&str]| match folders {
        [] => String::new(),
        _ => folders.iter().fold(format!("{key}:\n"), |list, folder| {
            list + "  - " + &up + &ROOT[1..] + "/deploy/kubernetes/" + folder + "\n"
        }),
    };
    let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
    let text = format!("{head}{}{}", listed("resources", resources), listed("components", components));
    std::fs::write(root.join("kustomization.yaml"), text).unwrap();
    let mut command = unpacked("kustomize");
    command.arg("build").arg(&root);
    output(command)
}

/// Compares a text with a file of `tests/deploy/golden/`, or writes it there (`BLESS=1`).
pub(crate) fn assert_golden(file: &str, text: &str) {
    let path = Path::new(ROOT).join("tests/deploy/golden").join(file);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{} differs; BLESS=1 writes it anew:\n{text}", path.display());
}
