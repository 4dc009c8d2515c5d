//! The syntax of Go's `flag` package, in which upstream's arguments are written, put before clap's.
//!
//! Go takes one dash for two, takes whatever word follows a flag with a value as that value, and reads booleans behind
//! `=` only. All three are settled here, by rewriting words; which flags exist, clap alone knows.

use std::ffi::{OsStr, OsString};
use std::iter;
use std::os::unix::ffi::OsStrExt;

use clap::{ArgAction, Command};
use thiserror::Error;

/// What Go's `strconv.ParseBool` takes for true.
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];
/// What Go's `strconv.ParseBool` takes for false.
const FALSE: [&str; 6] = ["0", "f", "F", "FALSE", "false", "False"];

/// A text behind a boolean flag that Go's `strconv.ParseBool` refuses.
#[derive(Debug, Error)]
#[error("expected true or false")]
pub(super) struct NotBool;

/// A boolean flag with its value in a word of its own.
///
/// Go sets the flag to true there, stops reading flags at the word and ignores all that follow: the opposite of what the
/// writer meant, in silence. Hence it is refused here.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("a boolean flag takes its value behind an equals sign; write --{flag}={word} instead of --{flag} {word}")]
pub(super) struct DetachedBool {
    flag: String,
    word: String,
}

/// Reads a boolean as Go's `strconv.ParseBool` does.
pub(super) fn parse_bool(text: &str) -> Result<bool, NotBool> {
    match (TRUE.contains(&text), FALSE.contains(&text)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(NotBool),
    }
}

/// Gives every switch of the command and its verbs the syntax of Go's booleans: `--flag` or `--flag=BOOL`.
pub(super) fn with_go_booleans(command: Command) -> Command {
    command
        .mut_args(|arg| {
            if !matches!(arg.get_action(), ArgAction::SetTrue) {
                return arg;
            }
            let arg = if arg.get_default_values().is_empty() { arg.default_value("false") } else { arg };
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_name("BOOL")
                .value_parser(parse_bool)
                .hide_default_value(true)
        })
        .mut_subcommands(with_go_booleans)
}

/// Rewrites arguments in Go's syntax into words that clap reads the same way: `--flag` or `--flag=value`.
///
/// What is no flag of ours passes through, with two dashes, for clap to refuse by name.
pub(super) fn normalise(
    command: &Command,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, DetachedBool> {
    let mut args = args.into_iter().peekable();
    let mut words = Vec::new();
    while let Some(arg) = args.next() {
        if arg == "--" {
            words.push(arg);
            words.extend(args);
            break;
        }
        let Some((name, value)) = split(&arg) else {
            words.push(arg);
            continue;
        };
        if name == "h" || name == "help" {
            // Go asks for no value here, and heeds none: `-h=0` is help too.
            words.push("--help".into());
            continue;
        }
        let mut word = OsString::from("--");
        word.push(if name == "V" { OsStr::new("version") } else { name });
        match (value, takes_word(command, name), args.peek()) {
            (Some(value), ..) => {
                word.push("=");
                word.push(value);
            }
            // The next word is the value whatever it looks like, such as a name that starts with a dash.
            (None, Some(true), Some(next)) => {
                word.push("=");
                word.push(next);
                args.next();
            }
            (None, Some(false), Some(next)) if next.to_str().is_some_and(|next| parse_bool(next).is_ok()) => {
                let text = |text: &OsStr| text.to_string_lossy().into_owned();
                return Err(DetachedBool { flag: text(name), word: text(next) });
            }
            (None, ..) => {}
        }
        words.push(word);
    }
    Ok(words)
}

/// The words of [`normalise`] with the flags that are the command's own, and not a verb's, in front of all others. The order
/// among them stays, and that of the others.
pub(super) fn in_front<'a>(command: &Command, words: &'a [OsString]) -> Vec<&'a OsString> {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let (before, behind) = words.split_at_checked(end).unwrap_or((words, &[]));
    let (in_front, others): (Vec<_>, Vec<_>) = before.iter().partition(|word| {
        // One without the value that it has to have would take the next word for that.
        split(word).is_some_and(|(name, value)| {
            own_takes_word(command, name).is_some_and(|takes_word| value.is_some() || !takes_word)
        })
    });
    in_front.into_iter().chain(others).chain(behind).collect()
}

/// The words of a command line as Go's `flag` package sees them: which is a flag, and which no longer is.
pub(super) enum Word<'a> {
    /// A flag with its name.
    Flag(&'a OsStr),
    /// The first word that is no flag. Go takes none for a flag from here on.
    Other,
    /// A boolean behind a switch, of which [`normalise`] says what to write.
    Detached,
}

/// The words up to the first one that is no flag, values left out, each with its place.
pub(super) fn words_of<'a>(command: &Command, args: &'a [OsString]) -> Vec<(usize, Word<'a>)> {
    let mut words = Vec::new();
    let mut rest = args.iter().enumerate();
    let mut behind_switch = false;
    while let Some((place, arg)) = rest.next() {
        let Some((name, value)) = split(arg) else {
            let is_detached = behind_switch && arg.to_str().is_some_and(|word| parse_bool(word).is_ok());
            words.push((place, if is_detached { Word::Detached } else { Word::Other }));
            break;
        };
        words.push((place, Word::Flag(name)));
        let takes_word = takes_word(command, name);
        behind_switch = value.is_none() && takes_word == Some(false);
        if value.is_none() && takes_word == Some(true) {
            rest.next();
        }
    }
    words
}

/// Whether the value of this flag of the command or its verbs may be a word of its own, not only behind `=`; `None` if there
/// is no such flag.
fn takes_word(command: &Command, flag: &OsStr) -> Option<bool> {
    iter::once(command).chain(command.get_subcommands()).find_map(|command| own_takes_word(command, flag))
}

/// The same, of the flags that are the command's own, and not a verb's.
fn own_takes_word(command: &Command, flag: &OsStr) -> Option<bool> {
    let arg = command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| flag == long))?;
    Some(arg.get_action().takes_values() && !arg.is_require_equals_set())
}

/// The name of a flag; `None` for what is no flag to Go.
pub(super) fn name(arg: &OsStr) -> Option<&OsStr> {
    split(arg).map(|(name, _)| name)
}

/// Splits a flag into its name and the value behind `=`; `None` for what is no flag to Go.
fn split(arg: &OsStr) -> Option<(&OsStr, Option<&OsStr>)> {
    let bytes = arg.as_bytes().strip_prefix(b"-")?;
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if matches!(bytes.first(), None | Some(b'-' | b'=')) {
        return None;
    }
    let mut parts = bytes.splitn(2, |byte| *byte == b'=').map(OsStr::from_bytes);
    Some((parts.next()?, parts.next()))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn command() -> Command {
        with_go_booleans(
            Command::new("agent")
                .arg(Arg::new("text").long("text"))
                .arg(Arg::new("on").long("on").action(ArgAction::SetTrue))
                .subcommand(
                    Command::new("verb")
                        .arg(Arg::new("dry").long("dry").action(ArgAction::SetTrue))
                        .arg(Arg::new("word").long("word")),
                ),
        )
    }

    fn words(args: &[&str]) -> Result<Vec<String>, DetachedBool> {
        let words = normalise(&command(), args.iter().map(OsString::from))?;
        Ok(words.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn each_spelling_that_go_reads_becomes_the_one_that_clap_reads() {
        let cases: [(&[&str], &[&str]); 16] = [
            (&["-on"], &["--on"]),
            (&["--on=false"], &["--on=false"]),
            (&["-on=F"], &["--on=F"]),
            (&["-text", "a"], &["--text=a"]),
            (&["--text", "a"], &["--text=a"]),
            (&["-text=a=b"], &["--text=a=b"]),
            (&["--text="], &["--text="]),
            (&["--text", "-on"], &["--text=-on"]),
            (&["--text"], &["--text"]),
            (&["verb", "-dry", "-word", "x"], &["verb", "--dry", "--word=x"]),
            (&["-unknown", "x"], &["--unknown", "x"]),
            (&["-h"], &["--help"]),
            (&["-h=0"], &["--help"]),
            (&["-help=true"], &["--help"]),
            (&["-", "---x", "-=x"], &["-", "---x", "-=x"]),
            (&["-on", "--", "-text", "x"], &["--on", "--", "-text", "x"]),
        ];
        for (args, expected) in cases {
            assert_eq!(words(args).unwrap(), expected, "{args:?}");
        }
    }

    #[test]
    fn a_boolean_in_a_word_of_its_own_is_refused_with_what_to_write() {
        for word in TRUE.into_iter().chain(FALSE) {
            let refusal = DetachedBool { flag: "on".into(), word: word.into() };
            assert_eq!(words(&["-on", word]), Err(refusal));
        }
        assert_eq!(
            words(&["verb", "--dry", "false"]).unwrap_err().to_string(),
            "a boolean flag takes its value behind an equals sign; write --dry=false instead of --dry false"
        );
        assert_eq!(words(&["--on", "verb"]).unwrap(), ["--on", "verb"], "a verb is no boolean");
        assert_eq!(words(&["--text", "false"]).unwrap(), ["--text=false"], "a text may be such a word");
    }

    #[test]
    fn a_path_need_not_be_unicode() {
        let path = OsStr::from_bytes(b"/etc/\xff").to_owned();
        let words = normalise(&command(), ["-text".into(), path]).unwrap();
        assert_eq!(words, [OsStr::from_bytes(b"--text=/etc/\xff")]);
    }

    #[test]
    fn booleans_are_read_as_go_reads_them() {
        for text in TRUE {
            assert!(parse_bool(text).unwrap());
        }
        for text in FALSE {
            assert!(!parse_bool(text).unwrap());
        }
        for text in ["", "yes", "on", "tRUE", " true", "2", "-1"] {
            assert_eq!(parse_bool(text).unwrap_err().to_string(), "expected true or false", "{text:?}");
        }
    }
}
