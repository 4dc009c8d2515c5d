//! State files: any bytes are read, and whatever is written is read back as it was.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ip_masq_agent::config::Context;
use ip_masq_agent::last_good::{LastKnownGood, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match decode(input) {
        Ok(good) => {
            assert_eq!(decode(&encode(&good)).as_ref(), Ok(&good));
            let _ = good.config(&Context::default()).map_err(|error| error.to_string());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    is_read_back(input);
});

/// The input as two bytes that say where and how a file is damaged, a path, a zero, and the content of a file.
fn is_read_back(input: &[u8]) {
    let [at, mask, rest @ ..] = input else { return };
    let (path, content) = match rest.iter().position(|byte| *byte == 0) {
        Some(end) => (&rest[..end], Some(rest[end + 1..].to_vec())),
        None => (rest, None),
    };
    let path = [b"/", path].concat();
    let good = LastKnownGood::new(Path::new(OsStr::from_bytes(&path)), content);
    let mut bytes = encode(&good);
    assert_eq!(decode(&bytes).as_ref(), Ok(&good));
    let place = usize::from(*at) * bytes.len() / 256;
    bytes[place] ^= mask;
    if *mask != 0 {
        assert!(decode(&bytes).is_err(), "one wrong byte goes unnoticed: byte {place}");
    }
}
