//! Keys and values to a [`Config`]: types, the limit, the ranges, in upstream's order.

use goyaml::{Number, Value};

use super::document::{self, Pair};
use super::error::{Place, describe};
use super::errors::Findings;
use super::list::{self, NoRange, NoText};
use super::warning::Warnings;
use super::{
    Config, ConfigError, Context, Duration, Entry, Examined, Key, Location, Problem, Setting, SourceId, Told, Warning,
    overlap,
};
use crate::net::Family;
use crate::text::Bare;

/// What these files say, in their order. Of one that is missing there are no bytes.
pub(super) fn build(files: &[(SourceId, Option<&[u8]>)], context: Context, told: Told) -> Examined {
    let (mut findings, mut warnings) = (Findings::new(told.errors), Warnings::new(told.warnings_of_a_kind));
    let mut draft = Draft::new(told);
    let is_any_there = files.iter().any(|(_, bytes)| bytes.is_some());
    for (file, bytes) in files {
        match bytes {
            Some(bytes) => draft.add(*file, bytes, &mut warnings, &mut findings),
            None if is_any_there => warnings.push(Warning::MissingFile { file: *file }),
            None => {}
        }
    }
    let mut config = Config::defaults(&context);
    draft.count(config.non_masquerade_cidrs.len(), &mut findings);
    if !draft.lists.is_empty() {
        config.non_masquerade_cidrs =
            concatenated(draft.lists.into_iter().map(|list| list.entries(context, &mut findings)));
    }
    config.masq_link_local = draft.masq_link_local.unwrap_or(config.masq_link_local);
    config.masq_link_local_ipv6 = draft.masq_link_local_ipv6.unwrap_or(config.masq_link_local_ipv6);
    if let Some((interval, location)) = draft.resync_interval {
        let used = if interval <= Duration::from_secs(0) {
            Config::INSTEAD_OF_NO_INTERVAL
        } else {
            interval.max(Config::MIN_RESYNC_INTERVAL)
        };
        if interval < Duration::from_secs(1) {
            warnings.push(Warning::ShortInterval { location, interval, used });
        }
        config.resync_interval = Setting { value: used, location: Some(location) };
    }
    overlap::find(&config.non_masquerade_cidrs, |warning| warnings.push(warning));
    Examined { config: findings.or(config), warnings: warnings.in_order() }
}

/// One list of several. The only one is not copied, as it may be most of what a large file holds.
fn concatenated(mut lists: impl Iterator<Item = Vec<Entry>>) -> Vec<Entry> {
    let mut all = lists.next().unwrap_or_default();
    lists.for_each(|list| all.extend(list));
    all
}

/// What the files say so far.
struct Draft {
    told: Told,
    /// The list of each file that has one.
    lists: Vec<List>,
    limit: Option<Setting<i64>>,
    masq_link_local: Option<Setting<bool>>,
    masq_link_local_ipv6: Option<Setting<bool>>,
    resync_interval: Option<(Duration, Location)>,
    /// Whether a list, or the limit, cannot be read, so that the one cannot be held against the other.
    is_uncountable: bool,
}

/// The value of `nonMasqueradeCIDRs` in one file.
struct List {
    location: Location,
    content: list::List,
    /// Whether it is told already which of its entries are no ranges.
    is_told: bool,
}

impl Draft {
    fn new(told: Told) -> Self {
        Self {
            told,
            lists: Vec::new(),
            limit: None,
            masq_link_local: None,
            masq_link_local_ipv6: None,
            resync_interval: None,
            is_uncountable: false,
        }
    }

    /// Applies a file.
    fn add(&mut self, file: SourceId, bytes: &[u8], warnings: &mut Warnings, findings: &mut Findings) {
        let document = match goyaml::parse(bytes) {
            Ok(document) => document,
            Err(error) => return self.unreadable(ConfigError::syntax(file, error), findings),
        };
        match document::pairs(&document, file, warnings) {
            Ok(pairs) => pairs.into_iter().for_each(|pair| self.set(pair, warnings, findings)),
            Err(error) => self.unreadable(error, findings),
        }
    }

    fn unreadable(&mut self, error: ConfigError, findings: &mut Findings) {
        self.is_uncountable = true;
        findings.push(error);
    }

    /// Applies a pair. An earlier one with the same key no longer counts, unless this one is null: null leaves a single
    /// value as it is, and empties the list of its file. The lists of other files stay. Errors in a pair that no longer
    /// counts are still errors, except in the ranges of its list.
    fn set(&mut self, pair: Pair<'_>, warnings: &mut Warnings, findings: &mut Findings) {
        let Pair { key, name, location, value } = pair;
        if name != key.name() {
            warnings.push(Warning::OtherCase { location, name, key });
        }
        let before = match key {
            Key::NonMasqueradeCidrs => {
                let before = self.lists.pop_if(|list| list.location.file == location.file);
                let list = List::of(&value, location, self.told, findings);
                self.is_uncountable |= list.as_ref().is_none_or(|list| list.is_told);
                self.lists.extend(list);
                Ok(before.map(|list| list.location))
            }
            Key::CidrLimit => number(&value, location).map(|value| replace(&mut self.limit, value, location)),
            Key::MasqLinkLocal => {
                truth(key, &value, location).map(|value| replace(&mut self.masq_link_local, value, location))
            }
            Key::MasqLinkLocalIpv6 => {
                truth(key, &value, location).map(|value| replace(&mut self.masq_link_local_ipv6, value, location))
            }
            Key::ResyncInterval => duration(&value, location)
                .map(|interval| self.resync_interval.replace((interval, location)).map(|(_, before)| before)),
        };
        match before {
            Ok(before) => warnings.extend(before.map(|ignored| Warning::DoubledKey { location, key, ignored })),
            Err(error) => {
                self.is_uncountable |= key == Key::CidrLimit;
                findings.push(error);
            }
        }
    }

    /// Tells if there are more ranges than the limit allows; by default there are `by_default`.
    fn count(&self, by_default: usize, findings: &mut Findings) {
        let limit = self.limit.map_or(Config::DEFAULT_CIDR_LIMIT, |limit| limit.value);
        let count = match &*self.lists {
            [] => by_default,
            lists => lists.iter().map(|list| list.content.len).sum(),
        };
        if !self.is_uncountable && i64::try_from(count).unwrap_or(i64::MAX) > limit {
            let list = self.lists.last().map(|list| list.location);
            let location = list.or(self.limit.and_then(|limit| limit.location));
            findings.push(ConfigError::new(location, Problem::TooMany { count, limit }));
        }
    }
}

/// Sets a value that is not null; the location of the one before.
fn replace<T>(setting: &mut Option<Setting<T>>, value: Option<T>, location: Location) -> Option<Location> {
    setting.replace(Setting { value: value?, location: Some(location) }).and_then(|before| before.location)
}

impl List {
    /// The list, or `None` if the value is none.
    fn of(value: &Value<'_>, location: Location, told: Told, findings: &mut Findings) -> Option<Self> {
        let content = match value {
            Value::Null => list::List::default(),
            Value::List(entries) => list::List::read(entries.clone(), location.file, told.errors),
            other => {
                let instead = match other {
                    Value::Text(text) => Some(format!("`{}: [{}]`", Key::NonMasqueradeCidrs, Bare(text))),
                    _ => None,
                };
                let expected = "a list of ranges, such as [10.0.0.0/8]";
                findings.push(wrong_type(Key::NonMasqueradeCidrs, location, other, expected, instead));
                return None;
            }
        };
        let is_told = !content.no_text.is_empty();
        let list = Self { location, content, is_told };
        if is_told {
            // Upstream's reader ends here, whatever other list may count in the end.
            list.tell(findings);
        }
        Some(list)
    }

    /// Tells which entries are no ranges, and how many more there are.
    fn tell(&self, findings: &mut Findings) {
        let list::List { ranges, no_range, no_text, len } = &self.content;
        findings.add(len - ranges.len() - no_range.len() - no_text.len());
        for NoText { index, location, found, is_null } in no_text {
            let problem = Problem::Type {
                place: Place { key: Key::NonMasqueradeCidrs, index: Some(*index) },
                found: found.clone(),
                is_null: *is_null,
                expected: "a range, such as 10.0.0.0/8",
                instead: is_null.then(|| "a range there, or remove the entry".to_owned()),
            };
            findings.push(ConfigError::at(*location, problem));
        }
        for NoRange { index, location, text, reason } in no_range {
            let problem = Problem::Cidr { index: *index, text: text.clone(), reason: reason.clone() };
            findings.push(ConfigError::at(*location, problem));
        }
    }

    /// The ranges, which have to be of a family that is on.
    fn entries(self, context: Context, findings: &mut Findings) -> Vec<Entry> {
        if !self.is_told {
            self.tell(findings);
        }
        // After the last of these that was stored, there are already more errors than are told.
        let no_range = self.content.no_range.iter().map(|no_range| no_range.index);
        let mut wrong: Vec<usize> = no_range.chain(self.content.no_text.iter().map(|no_text| no_text.index)).collect();
        wrong.sort_unstable();
        let (mut wrong, mut index) = (wrong.into_iter().peekable(), 0);
        for Entry { cidr, location } in &self.content.ranges {
            while wrong.next_if_eq(&index).is_some() {
                index += 1;
            }
            if cidr.family() == Family::Ipv6 && !context.ipv6 {
                findings.push(ConfigError::new(*location, Problem::Ipv6Off { index, cidr: *cidr }));
            }
            index += 1;
        }
        self.content.ranges
    }
}

fn number(value: &Value<'_>, location: Location) -> Result<Option<i64>, ConfigError> {
    let instead = match value {
        Value::Null => return Ok(None),
        Value::Number(Number { whole: Some(number), .. }) => return Ok(Some(*number)),
        Value::Text(text) => text.parse::<i64>().ok().map(|number| format!("{number} without quotes")),
        _ => None,
    };
    Err(wrong_type(Key::CidrLimit, location, value, "a whole number, such as 64", instead))
}

fn truth(key: Key, value: &Value<'_>, location: Location) -> Result<Option<bool>, ConfigError> {
    let instead = match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => return Ok(Some(*value)),
        Value::Text(text) => {
            text.to_ascii_lowercase().parse::<bool>().ok().map(|truth| format!("{truth} without quotes"))
        }
        Value::Number(Number { whole: Some(number @ 0..=1), .. }) => Some((*number == 1).to_string()),
        _ => None,
    };
    Err(wrong_type(key, location, value, "true or false", instead))
}

/// Null is no duration: upstream reads this key alone with a function of its own, which refuses it.
fn duration(value: &Value<'_>, location: Location) -> Result<Duration, ConfigError> {
    let instead = match value {
        Value::Text(text) => {
            let problem = |reason| Problem::Duration { text: text.clone().into_owned(), reason };
            return text.parse().map_err(|reason| ConfigError::at(location, problem(reason)));
        }
        Value::Number(Number { text, .. }) => Some(format!("{}s for seconds", Bare(text))),
        Value::Null => Some(format!("{}, or remove the key", Config::DEFAULT_RESYNC_INTERVAL)),
        _ => None,
    };
    Err(wrong_type(Key::ResyncInterval, location, value, "a duration, such as 60s", instead))
}

fn wrong_type(
    key: Key,
    location: Location,
    value: &Value<'_>,
    expected: &'static str,
    instead: Option<String>,
) -> ConfigError {
    let (found, is_null) = (describe(value), matches!(value, Value::Null));
    ConfigError::at(location, Problem::Type { place: Place { key, index: None }, found, is_null, expected, instead })
}
