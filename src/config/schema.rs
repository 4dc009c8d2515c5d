//! Keys and values to a [`Config`]: types, the limit, the ranges, in upstream's order.

use super::error::Place;
use super::value::{self, Document, NoRange, Pair, Value};
use super::{Config, ConfigError, Context, Duration, Entry, Key, Line, Problem, Reading, Setting, Warning, overlap};
use crate::net::Family;
use crate::shown::Bare;

/// The configuration that the document asks for.
pub(super) fn build(document: Document<'_>, context: Context) -> Result<Reading, ConfigError> {
    let Document { pairs, mut warnings } = document;
    let mut draft = Draft::default();
    for pair in pairs {
        warnings.extend(draft.set(pair)?);
    }
    let limit = draft.limit.map_or(Config::DEFAULT_CIDR_LIMIT, |limit| limit.value);
    let mut config = Config::defaults(&context);
    let list_line = draft.list.as_ref().map(|list| list.line).or(draft.limit.and_then(|limit| limit.line));
    let count = draft.list.as_ref().map_or(config.non_masquerade_cidrs.len(), |list| list.content.texts);
    if i64::try_from(count).unwrap_or(i64::MAX) > limit {
        return Err(ConfigError::new(list_line, Problem::TooMany { count, limit }));
    }
    if let Some(list) = draft.list {
        config.non_masquerade_cidrs = list.entries(context)?;
        warnings.extend(overlap::find(&config.non_masquerade_cidrs));
    }
    config.masq_link_local = draft.masq_link_local.unwrap_or(config.masq_link_local);
    config.masq_link_local_ipv6 = draft.masq_link_local_ipv6.unwrap_or(config.masq_link_local_ipv6);
    if let Some((interval, line)) = draft.resync_interval {
        let used = if interval <= Duration::from_secs(0) {
            Config::INSTEAD_OF_NO_INTERVAL
        } else {
            interval.max(Config::MIN_RESYNC_INTERVAL)
        };
        if interval < Duration::from_secs(1) {
            warnings.push(Warning::ShortInterval { line, interval, used });
        }
        config.resync_interval = Setting { value: used, line: Some(line) };
    }
    Ok(Reading { config, warnings: Warning::in_order(warnings) })
}

/// What the document says so far.
#[derive(Default)]
struct Draft<'a> {
    list: Option<List<'a>>,
    limit: Option<Setting<i64>>,
    masq_link_local: Option<Setting<bool>>,
    masq_link_local_ipv6: Option<Setting<bool>>,
    resync_interval: Option<(Duration, Line)>,
}

/// The value of `nonMasqueradeCIDRs`, of which all entries are texts.
struct List<'a> {
    line: Line,
    content: value::List<'a>,
}

impl<'a> Draft<'a> {
    /// Takes a pair over. One with the same key before it no longer counts, unless this one is null: that leaves a
    /// single value as it is, and empties the list.
    fn set(&mut self, pair: Pair<'a>) -> Result<Vec<Warning>, ConfigError> {
        let Pair { key, name, line, value } = pair;
        let mut warnings = Vec::new();
        if name != key.name() {
            warnings.push(Warning::OtherCase { line, name, key });
        }
        let before = match key {
            Key::NonMasqueradeCidrs => self.list.replace(List::of(value, line)?).map(|list| list.line),
            Key::CidrLimit => replace(&mut self.limit, number(&value, line)?, line),
            Key::MasqLinkLocal => replace(&mut self.masq_link_local, truth(key, &value, line)?, line),
            Key::MasqLinkLocalIpv6 => replace(&mut self.masq_link_local_ipv6, truth(key, &value, line)?, line),
            Key::ResyncInterval => self.resync_interval.replace((duration(value, line)?, line)).map(|(_, line)| line),
        };
        warnings.extend(before.map(|ignored| Warning::DoubledKey { line, key, ignored }));
        Ok(warnings)
    }
}

/// Sets a value that is not null; the line of the one before.
fn replace<T>(setting: &mut Option<Setting<T>>, value: Option<T>, line: Line) -> Option<Line> {
    setting.replace(Setting { value: value?, line: Some(line) }).and_then(|before| before.line)
}

impl<'a> List<'a> {
    fn of(value: Value<'a>, line: Line) -> Result<Self, ConfigError> {
        let content = match value {
            Value::Null => value::List::default(),
            Value::List(list) => *list,
            other => {
                let instead = match &other {
                    Value::Text(text) => Some(format!("`{}: [{}]`", Key::NonMasqueradeCidrs, Bare(text))),
                    _ => None,
                };
                let expected = "a list of ranges, such as [10.0.0.0/8]";
                return Err(wrong_type(Key::NonMasqueradeCidrs, None, line, &other, expected, instead));
            }
        };
        if let Some((line, other)) = &content.no_text {
            let instead = matches!(other, Value::Null).then(|| "a range there, or remove the entry".to_owned());
            let expected = "a range, such as 10.0.0.0/8";
            return Err(wrong_type(Key::NonMasqueradeCidrs, Some(content.texts), *line, other, expected, instead));
        }
        Ok(Self { line, content })
    }

    fn entries(self, context: Context) -> Result<Vec<Entry>, ConfigError> {
        let value::List { ranges, no_range, .. } = self.content;
        let is_off = |entry: &Entry| entry.cidr.family() == Family::Ipv6 && !context.ipv6;
        if let Some((index, Entry { cidr, line })) = ranges.iter().enumerate().find(|(_, entry)| is_off(entry)) {
            return Err(ConfigError::new(*line, Problem::Ipv6Off { index, cidr: *cidr }));
        }
        match no_range {
            None => Ok(ranges),
            Some(NoRange { line, text, reason }) => {
                let problem = Problem::Cidr { index: ranges.len(), text: text.into_owned(), reason };
                Err(ConfigError::at(line, problem))
            }
        }
    }
}

fn number(value: &Value<'_>, line: Line) -> Result<Option<i64>, ConfigError> {
    let instead = match value {
        Value::Null => return Ok(None),
        Value::Number { whole: Some(number), .. } => return Ok(Some(*number)),
        Value::Text(text) => text.parse::<i64>().ok().map(|number| format!("{number} without quotes")),
        _ => None,
    };
    Err(wrong_type(Key::CidrLimit, None, line, value, "a whole number, such as 64", instead))
}

fn truth(key: Key, value: &Value<'_>, line: Line) -> Result<Option<bool>, ConfigError> {
    let instead = match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => return Ok(Some(*value)),
        Value::Text(text) => {
            text.to_ascii_lowercase().parse::<bool>().ok().map(|truth| format!("{truth} without quotes"))
        }
        Value::Number { whole: Some(number @ 0..=1), .. } => Some((*number == 1).to_string()),
        _ => None,
    };
    Err(wrong_type(key, None, line, value, "true or false", instead))
}

/// Null is no duration: upstream reads this key alone with a function of its own, which refuses it.
fn duration(value: Value<'_>, line: Line) -> Result<Duration, ConfigError> {
    let instead = match value {
        Value::Text(text) => {
            return text
                .parse()
                .map_err(|reason| ConfigError::at(line, Problem::Duration { text: text.into_owned(), reason }));
        }
        Value::Number { ref text, .. } => Some(format!("{}s for seconds", Bare(text))),
        Value::Null => Some(format!("{}, or remove the key", Config::DEFAULT_RESYNC_INTERVAL)),
        _ => None,
    };
    Err(wrong_type(Key::ResyncInterval, None, line, &value, "a duration, such as 60s", instead))
}

fn wrong_type(
    key: Key,
    index: Option<usize>,
    line: Line,
    value: &Value<'_>,
    expected: &'static str,
    instead: Option<String>,
) -> ConfigError {
    let place = Place { key, index };
    ConfigError::at(line, Problem::Type { place, found: value.describe(), expected, instead })
}
