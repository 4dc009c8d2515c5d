//! klog's flags (`klog.InitFlags` of k8s.io/klog/v2), which upstream's binary has. Here they have no effect; but what klog
//! refuses is refused, so that a flag in the place of a value is not swallowed.

use thiserror::Error;

/// The switches.
pub(super) const SWITCHES: [&str; 7] = [
    "logtostderr",
    "alsologtostderr",
    "legacy_stderr_threshold_behavior",
    "add_dir_header",
    "skip_headers",
    "one_output",
    "skip_log_headers",
];

type Check = fn(&str) -> Result<(), NotForKlog>;

/// The flags with a value, except `-v`, and what klog takes for one.
pub(super) const VALUES: [(&str, Check); 7] = [
    ("log_dir", any),
    ("log_file", any),
    ("log_file_max_size", size),
    ("stderrthreshold", severity),
    ("alsologtostderrthreshold", severity),
    ("vmodule", modules),
    ("log_backtrace_at", place),
];

/// A value that klog refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum NotForKlog {
    #[error("expected INFO, WARNING, ERROR, FATAL, or a number of 32 bits")]
    Severity,
    #[error("expected a list of FILE=N, such as server=2,gopher*=3, N being 0 or more")]
    Modules,
    #[error("expected a place such as file.go:234")]
    Place,
    #[error("expected a number of megabytes, 0 or more")]
    Size,
}

/// Any text will do.
#[expect(clippy::unnecessary_wraps, reason = "one of several checks, of which the others refuse some")]
const fn any(_: &str) -> Result<(), NotForKlog> {
    Ok(())
}

fn severity(text: &str) -> Result<(), NotForKlog> {
    let is_name = ["INFO", "WARNING", "ERROR", "FATAL"].iter().any(|name| name.eq_ignore_ascii_case(text));
    (is_name || text.parse::<i32>().is_ok()).then_some(()).ok_or(NotForKlog::Severity)
}

/// Go ignores what is empty between two commas.
fn modules(text: &str) -> Result<(), NotForKlog> {
    let is_module = |module: &str| {
        module
            .split_once('=')
            .is_some_and(|(name, level)| !name.is_empty() && level.parse::<i32>().is_ok_and(|level| level >= 0))
    };
    let mut modules = text.split(',').filter(|module| !module.is_empty());
    modules.all(is_module).then_some(()).ok_or(NotForKlog::Modules)
}

/// The empty text takes back what was set before.
fn place(text: &str) -> Result<(), NotForKlog> {
    let is_place = text
        .split_once(':')
        .is_some_and(|(file, line)| file.contains('.') && line.parse::<i64>().is_ok_and(|line| line > 0));
    (text.is_empty() || is_place).then_some(()).ok_or(NotForKlog::Place)
}

/// A number as Go writes it in programs: `strconv.ParseUint` with base 0.
fn size(text: &str) -> Result<(), NotForKlog> {
    let lower = text.to_ascii_lowercase();
    let radixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = radixes.iter().find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = match (prefixed, lower.strip_prefix('0')) {
        // Between a prefix and the digits an underscore may stand.
        (Some((digits, radix)), _) => (digits.strip_prefix('_').unwrap_or(digits), radix),
        (None, Some(octal)) if !octal.is_empty() => (octal.strip_prefix('_').unwrap_or(octal), 8),
        (None, _) => (lower.as_str(), 10),
    };
    // Others stand between two digits.
    let are_digits = digits.split('_').all(|part| !part.is_empty() && part.chars().all(|digit| digit.is_digit(radix)));
    let number = u64::from_str_radix(&digits.replace('_', ""), radix);
    (are_digits && number.is_ok()).then_some(()).ok_or(NotForKlog::Size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_that_klog_takes_is_taken_and_what_it_refuses_is_refused() {
        let cases: [(&str, &[&str], &[&str], &str); 7] = [
            ("log_dir", &["", "/x", "--y"], &[], ""),
            ("log_file", &["", "/x", "--y"], &[], ""),
            (
                "log_file_max_size",
                &["0", "1800", "0x10", "0X_fF", "0b1", "0o17", "017", "0_7", "1_000", "18446744073709551615"],
                &["", "-1", "+1", "1.5", "08", "0x", "1_", "_1", "1__0", "18446744073709551616", "--enable-ipv6"],
                "expected a number of megabytes, 0 or more",
            ),
            (
                "stderrthreshold",
                &["INFO", "warning", "Error", "FATAL", "0", "-1", "+2", "2147483647"],
                &["", "--enable-ipv6", "loud", "2147483648", "1.0"],
                "expected INFO, WARNING, ERROR, FATAL, or a number of 32 bits",
            ),
            ("alsologtostderrthreshold", &["WARNING", "1"], &["", "-enable-ipv6"], "expected INFO, "),
            (
                "vmodule",
                &["", ",", "a=1", "a=1,b*=2,", "a=0", "a=+1"],
                &["a", "a=", "=1", "a=-1", "a=1=2", "a=x", "a=1,b", "--enable-ipv6"],
                "expected a list of FILE=N",
            ),
            (
                "log_backtrace_at",
                &["", "file.go:1", ".:9"],
                &["file:1", "file.go", "file.go:0", "file.go:-1", "file.go:1:2", "file.go:x", "--enable-ipv6"],
                "expected a place such as file.go:234",
            ),
        ];
        assert_eq!(cases.map(|(name, ..)| name).as_slice().len(), VALUES.len());
        for ((name, taken, refused, words), (listed, check)) in cases.into_iter().zip(VALUES) {
            assert_eq!(name, listed);
            for text in taken {
                assert_eq!(check(text), Ok(()), "{name} {text:?}");
            }
            for text in refused {
                assert!(check(text).unwrap_err().to_string().contains(words), "{name} {text:?}");
            }
        }
    }
}
