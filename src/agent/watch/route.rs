//! What the kernel looks up on its way to a file, and hence where a change could lead it elsewhere.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The kernel follows no more symbolic links than this in one lookup (`MAXSYMLINKS`, include/linux/namei.h).
const MAX_SYMLINKS: usize = 40;

/// The way to a file at one moment. Two equal ones lead over the same inodes.
///
/// Its points are the places at which a change can lead the lookup elsewhere, without symbolic links in them, each once:
/// the directory of every symbolic link on the way, the directory of the file, and the file (which can be written under
/// another name: a hard link, a bind mount); and all other directories on the way, which can be renamed or mounted over. If
/// something is missing on the way, the last one is the directory in which it is missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    points: Vec<Point>,
}

/// A place to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) path: PathBuf,
    pub(super) what: What,
    /// What is there: device and inode, or `None` if it was removed already.
    inode: Option<(u64, u64)>,
}

/// What matters about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// That it stays where it is.
    Passed,
    /// Changes of these names in it.
    Names(BTreeSet<OsString>),
    /// Its content.
    File,
}

impl Route {
    /// Follows the path as the kernel does (`path_resolution(7)`), one component after the other.
    pub(super) fn to(path: &Path) -> Self {
        let mut route = Self::default();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut ahead = components(&path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(component) = ahead.pop() {
            if component == "/" || component == ".." {
                // The parent of the root is the root.
                here = if component == "/" { component.into() } else { here.parent().unwrap_or(&here).to_owned() };
                continue;
            }
            let entry = here.join(&component);
            let found = fs::symlink_metadata(&entry).ok();
            if found.as_ref().is_some_and(Metadata::is_symlink) && links < MAX_SYMLINKS {
                route.meets(&here, component);
                links += 1;
                let Ok(target) = fs::read_link(&entry) else { break };
                ahead.extend(components(&target));
            } else if found.as_ref().is_some_and(Metadata::is_dir) && !ahead.is_empty() {
                route.passes(&entry, What::Passed);
                here = entry;
            } else {
                // The end: the file, or what stands in the way to it, or what is missing.
                route.meets(&here, component);
                match found {
                    None => route.may_lose(&here),
                    Some(found) if found.is_file() => route.passes(&entry, What::File),
                    Some(_) => {}
                }
                break;
            }
        }
        route
    }

    /// The places to watch.
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }

    /// Watches for the deletion of this directory, which may be empty. While it is the current directory of a process,
    /// inotify reports that only for its parent.
    fn may_lose(&mut self, directory: &Path) {
        if let (Some(parent), Some(name)) = (directory.parent(), directory.file_name()) {
            self.meets(parent, name.to_owned());
        }
    }

    fn meets(&mut self, directory: &Path, name: OsString) {
        match self.points.iter_mut().find(|point| point.path == directory) {
            Some(Point { what: What::Names(names), .. }) => drop(names.insert(name)),
            _ => self.passes(directory, What::Names(BTreeSet::from([name]))),
        }
    }

    /// One place has one point: what says more takes the place of what only passes.
    fn passes(&mut self, path: &Path, what: What) {
        match self.points.iter_mut().find(|point| point.path == path) {
            Some(point) if what != What::Passed => point.what = what,
            Some(_) => {}
            None => {
                let inode = fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()));
                self.points.push(Point { path: path.to_owned(), what, inode });
            }
        }
    }
}

/// The components of a path, the first one last.
fn components(path: &Path) -> Vec<OsString> {
    let text = |component: Component<'_>| match component {
        Component::CurDir => None,
        other => Some(OsStr::to_owned(other.as_os_str())),
    };
    path.components().rev().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A name, a layout, a path in it, and the points of that path.
    type Case<'a> = (&'a str, fn(&Path), &'a str, &'a [&'a str]);

    /// The points of a file below a directory in which `layout` was laid out, as paths relative to that directory; in
    /// brackets those that are only passed.
    fn points(layout: fn(&Path), path: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        layout(&root);
        let relative = |point: &Point| {
            let path = point.path.strip_prefix(&root).ok()?.display().to_string();
            Some(if point.what == What::Passed { format!("({path})") } else { path })
        };
        Route::to(&root.join(path)).points().filter_map(relative).collect()
    }

    #[test]
    fn each_layout_is_watched_where_it_can_change() {
        let cases: [Case<'_>; 11] = [
            ("a plain file", |root| fs::write(root.join("conf"), "").unwrap(), "conf", &["", "conf"]),
            ("no file", |_| {}, "conf", &[""]),
            ("no directory", |_| {}, "a/b/conf", &[""]),
            ("a parent only", |root| fs::create_dir(root.join("a")).unwrap(), "a/b/conf", &["", "a"]),
            ("a file for a directory", |root| fs::write(root.join("a"), "").unwrap(), "a/conf", &["", "a"]),
            ("a directory for a file", |root| fs::create_dir_all(root.join("a/conf")).unwrap(), "a/conf", &["()", "a"]),
            (
                "kubelet's tree",
                |root| {
                    fs::create_dir(root.join("..1")).unwrap();
                    fs::write(root.join("..1/conf"), "").unwrap();
                    symlink("..1", root.join("..data")).unwrap();
                    symlink("..data/conf", root.join("conf")).unwrap();
                },
                "conf",
                &["", "..1", "..1/conf"],
            ),
            (
                "a link to a place with parents in it",
                |root| {
                    fs::create_dir_all(root.join("a/b")).unwrap();
                    fs::create_dir(root.join("c")).unwrap();
                    fs::write(root.join("c/file"), "").unwrap();
                    symlink("../../c/./file", root.join("a/b/conf")).unwrap();
                },
                "a/b/conf",
                &["()", "(a)", "a/b", "c", "c/file"],
            ),
            ("a dangling link", |root| symlink("x/y", root.join("conf")).unwrap(), "conf", &[""]),
            (
                "a parent of a link's target is that target's",
                |root| {
                    fs::create_dir_all(root.join("a/b")).unwrap();
                    fs::write(root.join("a/conf"), "").unwrap();
                    symlink("a/b", root.join("link")).unwrap();
                },
                "link/../conf",
                &["", "a", "(a/b)", "a/conf"],
            ),
            (
                "a circle",
                |root| {
                    symlink("b", root.join("a")).unwrap();
                    symlink("a", root.join("b")).unwrap();
                },
                "a",
                &[""],
            ),
        ];
        for (name, layout, path, expected) in cases {
            assert_eq!(points(layout, path), expected, "{name}");
        }
    }

    #[test]
    fn the_chain_of_links_ends_where_the_kernels_does() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir(root.join("end")).unwrap();
        fs::write(root.join("end/file"), "").unwrap();
        symlink("end/file", root.join("0")).unwrap();
        for link in 1..=MAX_SYMLINKS {
            symlink((link - 1).to_string(), root.join(link.to_string())).unwrap();
        }
        for (links, reached) in [(MAX_SYMLINKS, true), (MAX_SYMLINKS + 1, false)] {
            let path = root.join((links - 1).to_string());
            assert_eq!(fs::read(&path).is_ok(), reached, "the kernel follows {links} links");
            assert_eq!(
                Route::to(&path).points().any(|point| point.path == root.join("end")),
                reached,
                "we follow {links} links"
            );
        }
    }
}
