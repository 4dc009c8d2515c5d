//! `make chart`: the chart as an archive.

use std::fs;
use std::path::Path;

use super::{CHART, path};
use crate::tools::{output, python};

#[test]
fn the_same_files_give_the_same_archive_whenever_they_were_written() {
    let scratch = tempfile::tempdir().unwrap();
    let written_now = scratch.path().join("copy");
    copy(&path(CHART), &written_now);
    let packaged = |chart: &Path, folder: &str| {
        let mut package = python();
        package.arg("deploy/helm/package.py").arg(chart).arg(scratch.path().join(folder));
        package.env_remove("SOURCE_DATE_EPOCH");
        let said = output(package);
        let (archive, digest) = said.trim_end().split_once(' ').unwrap();
        (fs::read(archive).unwrap(), digest.to_owned(), archive.to_owned())
    };
    let (first, digest, archive) = packaged(&path(CHART), "first");
    let (second, same_digest, _) = packaged(&written_now, "second");
    assert_eq!(digest, same_digest);
    assert!(first == second && digest.starts_with("sha256:"), "{digest}");

    let mut look = python();
    let code = "import helm_python, sys\n\
        chart, archive = map(helm_python.Chart.load, sys.argv[1:])\n\
        print(chart.render() == archive.render(), archive.name, archive.version)";
    look.args(["-c", code]).arg(path(CHART)).arg(archive);
    assert_eq!(output(look), format!("True ip-masq-agent {}\n", env!("CARGO_PKG_VERSION")));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // Not fs::copy, which some file systems let keep the time of the file.
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}
