//! What to do where the system grants too little.

use std::error::Error;
use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// How to mend an error that comes from a limit, in words that follow it; nothing for all others.
pub(super) fn remedy<'a>(mut causes: impl Iterator<Item = &'a (dyn Error + 'static)>) -> String {
    match causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error()).map(Errno::from_raw) {
        Some(Errno::EMFILE) => {
            let most =
                getrlimit(Resource::RLIMIT_NOFILE).map_or_else(|_| "too few".to_owned(), |(most, _)| most.to_string());
            format!(
                "; this process may have {most} files open: raise that limit (`ulimit -n`, or LimitNOFILE= in its unit)"
            )
        }
        Some(Errno::ENFILE) => {
            "; all programs together have too many files open: raise `sysctl fs.file-max`".to_owned()
        }
        _ => String::new(),
    }
}
