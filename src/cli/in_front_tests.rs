//! Flags in front of the verb mean what they mean where they stand.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[test]
fn a_command_line_that_makes_sense_is_understood_with_the_flags_in_front_as_that_takes_the_least_time() {
    for line in [
        "",
        "run --v=2",
        "apply --config=/a --backend=nft-compat --dry-run",
        "--enable-ipv6 apply --print-rules --enable-ipv6=false --sandbox",
        "render --format=json --logtostderr --log_dir=/x",
        "explain 10.0.0.1 --protocol=udp --local --to-ports=1-2",
        "cleanup",
        "version",
    ] {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        assert_eq!(flags_in_front(arguments::command(), &words).map(drop).map_err(|error| error.to_string()), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn flags_in_front_of_the_verb_mean_what_clap_makes_of_them_where_they_stand(
        words in vec(
            select(vec![
                "apply", "run", "render", "explain", "help", "version", "10.0.0.1", "--", "--dry-run", "--dry-run=false",
                "--print-rules", "--format=nft", "--format=json", "--local", "--protocol=udp", "--config=/a", "--config",
                "--v=2", "--v=4", "--v=x", "--v", "--backend=nft", "--backend=auto", "--enable-ipv6", "--enable-ipv6=false",
                "--to-ports=1-2", "--sandbox", "--version", "--version=raw", "--help", "--logtostderr", "--log_dir=/x",
                "--none", "--none=1", "",
            ]),
            0..7,
        ),
    ) {
        let words = go_flags::normalise(&arguments::command(), words.into_iter().map(OsString::from));
        prop_assume!(words.is_ok());
        let words = words.unwrap();
        let name = OsString::from("ip-masq-agent");
        let read = |matches: Result<ArgMatches, clap::Error>| match matches {
            Ok(matches) => Ok(format!("{:?}", Arguments::from_arg_matches(&matches).unwrap())),
            Err(error) => Err(error.to_string()),
        };
        let where_they_stand = arguments::command().try_get_matches_from(iter::once(&name).chain(&words));
        prop_assert_eq!(read(matches(arguments::command(), &words)), read(where_they_stand));
    }
}
