//! The audit by fingerprint: which nodes do not follow the policy that they should, by what they show as metrics.

use std::collections::BTreeMap;

/// What `ip_masq_agent_policy_info` says of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyInfo {
    pub(crate) fingerprint: String,
    pub(crate) origin: String,
}

/// Reads it from a node's metrics. `None` if it is not there.
pub(crate) fn policy_info(metrics: &str) -> Option<PolicyInfo> {
    let line = metrics.lines().find_map(|line| line.strip_prefix("ip_masq_agent_policy_info{"))?;
    let (labels, value) = line.rsplit_once("} ")?;
    let label = |name: &str| {
        let rest = labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix('='))?;
        Some(rest.trim_matches('"').to_owned())
    };
    if value.trim().parse() != Ok(1.0) {
        return None;
    }
    Some(PolicyInfo { fingerprint: label("fingerprint")?, origin: label("origin")? })
}

/// The sum of a metric's samples, whatever their labels.
pub(crate) fn sum(metrics: &str, name: &str) -> f64 {
    let is_sample = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = metrics.lines().filter(is_sample).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

/// The nodes that do not follow their file's policy with the fingerprint that they should have, and why not.
pub(crate) fn strays(wanted: &[String], found: &[Option<PolicyInfo>]) -> BTreeMap<usize, String> {
    let of_a_node = |(node, (wanted, found)): (usize, (&String, &Option<PolicyInfo>))| {
        let why = match found {
            None => "it shows no policy".to_owned(),
            Some(found) if found.origin != "file" => format!("its policy is not of the file: {}", found.origin),
            Some(found) if found.fingerprint != *wanted => format!("its fingerprint is {}", found.fingerprint),
            Some(_) => return None,
        };
        Some((node, why))
    };
    wanted.iter().zip(found).enumerate().filter_map(of_a_node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(fingerprint: &str, origin: &str) -> PolicyInfo {
        PolicyInfo { fingerprint: fingerprint.to_owned(), origin: origin.to_owned() }
    }

    #[test]
    fn the_policy_of_a_node_is_read_from_its_metrics_in_any_order_of_labels() {
        for (text, expected) in [
            ("ip_masq_agent_policy_info{fingerprint=\"ab\",origin=\"file\"} 1\n", Some(info("ab", "file"))),
            (
                "# TYPE\nip_masq_agent_policy_info{origin=\"standing\",fingerprint=\"\"} 1.0\n",
                Some(info("", "standing")),
            ),
            ("ip_masq_agent_policy_info{fingerprint=\"ab\",origin=\"file\"} 0\n", None),
            ("ip_masq_agent_policy_info{fingerprint=\"ab\"} 1\n", None),
            ("# ip_masq_agent_policy_info{fingerprint=\"ab\",origin=\"file\"} 1\n", None),
            ("", None),
        ] {
            assert_eq!(policy_info(text), expected, "{text}");
        }
    }

    #[test]
    fn samples_of_one_metric_are_added_up_and_those_of_others_are_not() {
        let text = "# HELP a_total b\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.0\na_total_more 7\nb 1\n";
        assert_eq!((sum(text, "a_total"), sum(text, "b"), sum(text, "c")), (5.0, 1.0, 0.0));
    }

    #[test]
    fn whoever_follows_another_policy_or_not_the_file_or_does_not_answer_is_named_and_nobody_else() {
        let wanted = ["a", "b", "b", "b", "b"].map(str::to_owned);
        let found = [
            Some(info("a", "file")),
            Some(info("b", "file")),
            Some(info("a", "file")),
            Some(info("b", "last_known_good")),
            None,
        ];
        assert_eq!(strays(&wanted, &found).into_keys().collect::<Vec<_>>(), [2, 3, 4]);
    }
}
