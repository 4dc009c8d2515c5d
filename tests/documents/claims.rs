//! What the documents claim to be faster or smaller than something else stands in the benchmarks.

use std::path::Path;

use crate::markdown::Document;

/// The page of which the ratios held in two rounds of every run.
const BENCHMARKS: &str = "docs/benchmarks.md";
/// The pages behind it, which say of each figure whether it can be relied on.
const BEHIND_IT: &str = "docs/benchmarks";
/// What follows `… times` if that compares.
const COMPARATIVES: [&str; 15] = [
    "less", "more", "faster", "slower", "cheaper", "dearer", "quicker", "shorter", "longer", "fewer", "smaller",
    "larger", "as", "lower", "higher",
];

/// Each `N times faster` and `N×` of a text: its number.
fn ratios(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_number = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    let bare =
        |word: &'static str| move |other: &&str| other.trim_matches(|letter: char| !letter.is_alphabetic()) == word;
    let compares = |word: &str| COMPARATIVES.iter().any(|comparative| bare(comparative)(&word));
    let spelled = words.windows(3).filter_map(|window| match window {
        [number, "times", next] if is_number(number) && compares(next) => Some(*number),
        _ => None,
    });
    let signs = words.iter().filter_map(|word| {
        let number = word.trim_start_matches(|letter: char| !letter.is_ascii_digit()).split_once('×')?.0;
        is_number(number).then_some(number)
    });
    spelled.chain(signs).collect()
}

#[test]
fn a_ratio_that_a_document_claims_is_one_of_the_benchmarks_first_page() {
    let benchmarks = Document::read(Path::new(BENCHMARKS));
    let measured = ratios(&benchmarks.text);
    let mut wrong = Vec::new();
    for document in Document::all() {
        if document.path.starts_with(BEHIND_IT) || document.path.starts_with("testdata") {
            continue;
        }
        let claims = ratios(&document.text);
        let made_up = claims.iter().filter(|claim| !measured.contains(claim));
        wrong.extend(made_up.map(|claim| format!("{}: {claim} times", document.path.display())));
    }
    assert!(wrong.is_empty(), "not on {BENCHMARKS}: {wrong:#?}");
}

#[test]
fn a_ratio_is_found_however_it_is_written_and_a_count_is_none() {
    let text =
        "it is 1.8 times faster than nft, 25 times\nless, (3× the speed), tried 16 times at most, four times a second";
    assert_eq!(ratios(text), ["1.8", "25", "3"]);
}
