//! From files to what is wrong and odd about them.

use std::ops::Range;
use std::path::PathBuf;

use super::fix_of;
use super::{Code, Diagnostic, Place, Report, SourceText};
use crate::config::{
    self, Config, ConfigError, Context, Examined, Location, Problem, Source, SourcePaths, SourceSet, Told, Warning,
};
use crate::manifest::{self, Content, Embedded};
use crate::net::CidrError;
use crate::text::{Message, Shown};

/// A file that was given, with what it holds or why it cannot be read.
pub struct Input {
    /// Its path, or `-`.
    pub name: String,
    /// Its bytes, or why there are none.
    pub content: Result<Vec<u8>, Message>,
}

/// What is found in each of the files, which are configurations or manifests with configurations in them. In a manifest, `key` is the
/// key of the configuration, if it is not a usual one.
#[must_use]
pub fn examine(inputs: Vec<Input>, context: &Context, key: Option<&str>) -> Report {
    let mut report = Report::default();
    for input in inputs {
        One::new(&mut report, &input, *context).examine(&input, key);
    }
    report
}

/// The configurations of a text, each with what is wrong and odd.
pub(super) struct Configurations {
    pub(super) examined: Vec<(Parts, Examined)>,
}

/// What one configuration is made of.
#[derive(Clone, Debug)]
pub(super) enum Parts {
    /// The whole text.
    Whole,
    /// Values in a manifest.
    Embedded(Vec<Embedded>),
}

impl Configurations {
    /// What is in a file; or what else the file is.
    pub(super) fn of(bytes: &[u8], text: &str, context: Context, key: Option<&str>) -> Result<Self, Refusal> {
        // A text that cannot be read is told as a configuration that cannot be, as most files are no manifests.
        let found = manifest::read(text, key).unwrap_or(Content::NoManifest);
        let parts = match found {
            Content::NoManifest => vec![Parts::Whole],
            Content::NoConfiguration(why) => return Err(Refusal(why)),
            Content::Configurations(found) => found.into_iter().map(Parts::Embedded).collect(),
        };
        let examined = parts.into_iter().filter_map(|parts| {
            let contents = match &parts {
                Parts::Whole => vec![bytes],
                Parts::Embedded(embedded) => embedded.iter().map(|embedded| embedded.text.as_bytes()).collect(),
            };
            let source = |content: &[u8]| Source { path: PathBuf::new(), content: Some(content.to_vec()) };
            let sources = SourceSet::new(contents.into_iter().map(source).collect())?;
            Some((parts, config::examine(&sources, &context, Told::AT_LENGTH)))
        });
        Ok(Self { examined: examined.collect() })
    }

    /// The configurations, if all of them are valid.
    pub(super) fn valid(self) -> Option<Vec<Config>> {
        self.examined.into_iter().map(|(_, examined)| examined.config.ok()).collect()
    }
}

/// A manifest without a configuration: what it has instead.
pub(super) struct Refusal(pub(super) String);

/// One file that is looked at.
struct One<'r> {
    report: &'r mut Report,
    /// Its place among the texts of the report.
    source: usize,
    context: Context,
}

impl<'r> One<'r> {
    fn new(report: &'r mut Report, input: &Input, context: Context) -> Self {
        let bytes = input.content.as_deref().unwrap_or_default();
        let text = goyaml::text(bytes).into_owned();
        let source = report.sources.len();
        report.sources.push(SourceText { name: input.name.clone(), text });
        Self { report, source, context }
    }

    fn examine(&mut self, input: &Input, key: Option<&str>) {
        let whole = || Place { source: self.source, range: None };
        let bytes = match &input.content {
            Ok(bytes) => bytes,
            Err(message) => return self.tell(Code::Unreadable, message.clone(), whole()),
        };
        let text = self.text().to_owned();
        match Configurations::of(bytes, &text, self.context, key) {
            Err(Refusal(why)) => {
                let message =
                    Message::new(why).with_help("give the configuration itself, or name its key by --key=NAME");
                self.tell(Code::NoConfiguration, message, whole());
            }
            Ok(found) => found.examined.into_iter().for_each(|(parts, examined)| self.add(&parts, examined)),
        }
    }

    fn text(&self) -> &str {
        self.report.sources.get(self.source).map_or("", |source| &source.text)
    }

    fn tell(&mut self, code: Code, message: Message, place: Place) {
        self.report.diagnostics.push(Diagnostic { code, message, place, other: None, fix: None });
    }

    fn add(&mut self, parts: &Parts, Examined { config, warnings }: Examined) {
        // The texts name other lines of the same file only; of a manifest, what counts is the place that is shown.
        let paths = SourcePaths::one("");
        let mut found: Vec<Diagnostic> = Vec::new();
        if let Err(errors) = config {
            found.extend(errors.iter().map(|error| self.error(parts, error)));
            self.count(errors.more(), "errors");
        }
        for warning in warnings {
            match &warning {
                Warning::More { about, count } => self.count(*count, about),
                _ => found.extend(self.warning(parts, &warning, &paths)),
            }
        }
        found.sort_by_key(|found| found.place.range.as_ref().map(|range| range.start));
        self.report.diagnostics.extend(found);
    }

    fn count(&mut self, more: usize, about: &str) {
        if more > 0 {
            self.report.more.push((more, about.to_owned()));
        }
    }

    fn error(&self, parts: &Parts, error: &ConfigError) -> Diagnostic {
        let code = code_of_problem(&error.problem);
        let place = self.place(parts, error.location);
        let fix = self.fix(parts, error.location, |text, range| fix_of::problem(&error.problem, text, range));
        let mut message = error.problem.message();
        if let (Code::Syntax, Parts::Embedded(embedded), Some(location)) = (code, parts, error.location)
            && let Some(embedded) = embedded.get(location.file.index())
        {
            message =
                message.with_note(format!("lines in the message count from the start of {}", Shown(&*embedded.name)));
        }
        Diagnostic { code, message, place, other: None, fix }
    }

    /// The diagnostic of a warning; none of what only counts others.
    fn warning(&self, parts: &Parts, warning: &Warning, paths: &SourcePaths) -> Option<Diagnostic> {
        let location = warning.location();
        let other = warning.other_location();
        Some(Diagnostic {
            code: code_of_warning(warning)?,
            message: self.message(parts, warning, paths),
            place: self.place(parts, location),
            fix: self.fix(parts, location, |text, range| {
                fix_of::warning(warning, text, range, other.map(|(location, _)| bytes_of(location)))
            }),
            other: other.map(|(location, what)| (self.place(parts, Some(location)), what)),
        })
    }

    /// The words; the lines of a manifest in place of those of the configuration in it.
    fn message(&self, parts: &Parts, warning: &Warning, paths: &SourcePaths) -> Message {
        let mut warning = warning.clone();
        if let Parts::Embedded(_) = parts {
            let line = |location: Location| {
                let range = self.place(parts, Some(location)).range?;
                let line = self.report.sources.get(self.source)?.position(range.start).line;
                u32::try_from(line).ok()
            };
            warning.set_other_line(line);
        }
        warning.message(paths)
    }

    /// The place of a part of a configuration in the text that is shown.
    fn place(&self, parts: &Parts, location: Option<Location>) -> Place {
        let range = location.map(|location| match parts {
            Parts::Whole => bytes_of(location),
            Parts::Embedded(embedded) => match embedded.get(location.file.index()) {
                Some(embedded) => embedded.in_manifest(&bytes_of(location)),
                None => 0..0,
            },
        });
        Place { source: self.source, range }
    }

    /// A fix is made in the configuration, and put in place in the manifest.
    fn fix(
        &self,
        parts: &Parts,
        location: Option<Location>,
        make: impl Fn(&str, Range<usize>) -> Option<super::Fix>,
    ) -> Option<super::Fix> {
        let location = location?;
        match parts {
            Parts::Whole => make(self.text(), bytes_of(location)),
            Parts::Embedded(embedded) => {
                let embedded = embedded.get(location.file.index())?;
                let fix = make(&embedded.text, bytes_of(location))?;
                Some(super::Fix { range: embedded.in_manifest(&fix.range), ..fix })
            }
        }
    }
}

fn bytes_of(location: Location) -> Range<usize> {
    location.span.start as usize..location.span.end as usize
}

const fn code_of_problem(problem: &Problem) -> Code {
    match problem {
        Problem::Syntax(_) => Code::Syntax,
        Problem::TopLevel(_) => Code::NoMapping,
        Problem::Type { place, is_null: true, .. } if place.index.is_some() => Code::NullEntry,
        Problem::Type { .. } => Code::WrongType,
        Problem::Duration { .. } => Code::NoDuration,
        Problem::TooMany { .. } => Code::TooManyRanges,
        Problem::Ipv6Off { .. } => Code::Ipv6Off,
        Problem::Cidr { reason, .. } => match reason {
            CidrError::Syntax => Code::NoCidr,
            CidrError::NoPrefixLength(_) => Code::NoPrefixLength,
            CidrError::PrefixLength(_) => Code::PrefixLength,
            CidrError::LeadingZeros(_) => Code::LeadingZeros,
            CidrError::Mapped => Code::Ipv4Mapped,
            CidrError::HostBits { .. } => Code::HostBits,
        },
    }
}

const fn code_of_warning(warning: &Warning) -> Option<Code> {
    Some(match warning {
        Warning::MissingFile { .. } => Code::MissingFile,
        Warning::UnknownKey { .. } => Code::UnknownKey,
        Warning::OtherCase { .. } => Code::KeyCase,
        Warning::DoubledKey { .. } => Code::DoubledKey,
        Warning::DuplicateCidr { .. } => Code::DuplicateRange,
        Warning::ShadowedCidr { .. } => Code::ShadowedRange,
        Warning::CoveredCidr { .. } => Code::CoveredRange,
        Warning::SecondDocument { .. } => Code::SecondDocument,
        Warning::ShortInterval { .. } => Code::ShortInterval,
        Warning::More { .. } => return None,
    })
}
