//! State files of both formats: any bytes are read, and whatever is written is read back as it was.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use ip_masq_agent::config::{Context, Source, SourceSet};
use ip_masq_agent::last_good::{LastKnownGood, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match decode(input) {
        Ok(good) => {
            assert_eq!(decode(&encode(&good)).as_ref(), Ok(&good));
            let _ = good.config(&Context::default());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    is_read_back(input);
});

/// The input as two bytes that say where and how a state file is damaged, and one for the number of files; then each
/// file's path, a zero and its content, which ends at a zero but for the last one's. A file without a zero after its
/// path is missing.
fn is_read_back(input: &[u8]) {
    let [at, mask, more, rest @ ..] = input else { return };
    let mut pieces = rest.splitn(2 * usize::from(more % 4) + 2, |byte| *byte == 0);
    let mut sources = Vec::new();
    while let Some(path) = pieces.next() {
        let path = OsString::from_vec([b"/", path].concat()).into();
        sources.push(Source { path, content: pieces.next().map(<[u8]>::to_vec) });
    }
    let Some(sources) = SourceSet::new(sources) else { return };
    let good = LastKnownGood::new(sources);
    let mut bytes = encode(&good);
    assert_eq!(decode(&bytes).as_ref(), Ok(&good));
    let place = usize::from(*at) * bytes.len() / 256;
    bytes[place] ^= mask;
    if *mask != 0 {
        assert!(decode(&bytes).is_err(), "one wrong byte goes unnoticed: byte {place}");
    }
}
