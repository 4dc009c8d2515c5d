//! How long the reading of a change is put off, and how often files are read that change without end.

use std::thread;

use super::*;

/// Its name, a layout, a change, and how long after it the file is read.
type Case<'a> = (&'a str, fn(&Path), &'a dyn Fn(&Path), Duration);

/// What is heard of a change that was just made, and how long after it the file is read.
fn pause_after(watched: &mut Watched) -> (Vec<News>, Duration) {
    let heard = watched.watch.watches.as_mut().unwrap().drain();
    let (now, mut changes) = (Instant::now(), Changes::default());
    for news in &heard {
        changes.add(*news, now);
    }
    let read_at = changes.read_at(None).unwrap();
    (heard, read_at - now)
}

#[tokio::test]
async fn what_replaces_the_file_whole_is_read_at_once_and_what_may_be_a_part_is_waited_for() {
    let (gap, grace) = (Duration::from_millis(5), WRITER_GRACE);
    let file: fn(&Path) = |root| fs::write(root.join("conf"), "a").unwrap();
    let writer = |root: &Path| OpenOptions::new().append(true).open(root.join("conf")).unwrap();
    let cases: [Case<'_>; 8] = [
        ("renamed over", file, &|root| rename_over(root, "b"), Duration::ZERO),
        ("arrives by a rename", |_| {}, &|root| rename_over(root, "b"), Duration::ZERO),
        (
            "kubelet's swap",
            |root| kubelet(root, "..2026_11_22_00_00_00.1"),
            &|root| kubelet(root, "..2026_11_22_00_00_01.2"),
            Duration::ZERO,
        ),
        (
            "removed and renamed",
            file,
            &|root| {
                fs::remove_file(root.join("conf")).unwrap();
                rename_over(root, "b");
            },
            Duration::ZERO,
        ),
        ("written in place", file, &|root| fs::write(root.join("conf"), "b").unwrap(), gap),
        ("a part is written", file, &|root| writer(root).write_all(b"b").unwrap(), gap),
        (
            "renamed over and then written",
            file,
            &|root| {
                rename_over(root, "b");
                let mut file = writer(root);
                file.write_all(b"c").unwrap();
                std::mem::forget(file);
            },
            grace,
        ),
        ("removed", file, &|root| fs::remove_file(root.join("conf")).unwrap(), gap),
    ];
    for (case, layout, change, expected) in cases {
        let mut watched = Watched::new("conf", layout);
        change(watched.directory.path());
        let (heard, pause) = pause_after(&mut watched);
        assert_eq!(pause, expected, "{case}: {heard:?}");
    }
}

#[tokio::test]
async fn a_burst_of_renames_causes_few_readings_the_last_of_them_of_the_last_file() {
    let mut watched = Watched::new("conf", |root| fs::write(root.join("conf"), "a").unwrap());
    let root = watched.directory.path().to_owned();
    let begin = Instant::now();
    let rename_all = move || (0..1000).for_each(|number| rename_over(&root, &number.to_string()));
    let renames = thread::Builder::new().spawn(rename_all).unwrap();
    let mut readings = 0;
    loop {
        timeout(DEADLINE, watched.watch.changed()).await.expect("a change");
        readings += 1;
        watched.watch.refresh().unwrap();
        let read = watched.read();
        assert!(watched.watch.is_whole(), "nobody writes to the file in place");
        if read.as_deref() == Some("999") {
            break;
        }
    }
    renames.join().unwrap();
    // The first, and then one for each gap.
    let most = begin.elapsed().as_millis() / 5 + 1;
    assert!(readings <= most, "{readings} readings, expected at most {most}");
}
