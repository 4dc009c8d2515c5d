//! Requests to answers.

use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use crate::health::{Reason, Surroundings, status};
use crate::metrics::{self, Scraper};

const TEXT: &str = "text/plain; charset=utf-8";
const PATHS: &str = "/livez: whether the agent works\n\
                     /readyz: whether the policy of the configuration file is in force, and why not\n\
                     /metrics: numbers for Prometheus, as OpenMetrics\n\
                     /status: how the node is, as JSON\n";

/// The answer to a request for this path. For `HEAD` its body is left out when it is sent.
pub(super) fn answer(method: &Method, path: &str, scraper: &Scraper) -> Response<String> {
    let health = scraper.health();
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".to_owned());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/livez" => verdict("live", &health.live()),
        "/readyz" => verdict("ready", &health.ready()),
        "/metrics" => text(StatusCode::OK, metrics::CONTENT_TYPE, scraper.scrape()),
        "/status" => {
            let state = health.state();
            let status = status(&state, Surroundings::now(health.pulse(), state.setup.host));
            text(StatusCode::OK, "application/json", status.json())
        }
        _ => text(StatusCode::NOT_FOUND, TEXT, format!("there is nothing here; these paths are answered:\n{PATHS}")),
    }
}

/// One line for each reason.
fn verdict(good: &str, reasons: &[Reason]) -> Response<String> {
    if reasons.is_empty() {
        return text(StatusCode::OK, TEXT, format!("{good}\n"));
    }
    let lines: Vec<String> = reasons.iter().map(Reason::to_string).collect();
    text(StatusCode::SERVICE_UNAVAILABLE, TEXT, lines.join("\n") + "\n")
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;
    use crate::health::tests::{health, invalid, pass};
    use crate::metrics::Options;
    use crate::net::ChainName;
    use crate::report::Observer as _;

    fn scraper(health: &Health) -> Scraper {
        Scraper::new(health.clone(), Options { chain: ChainName::default(), tells_ranges: false, source_ports: None })
    }

    fn asked(method: &Method, path: &str, health: &Health) -> (u16, String, String) {
        let answer = answer(method, path, &scraper(health));
        let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, answer.into_body())
    }

    #[test]
    fn each_path_is_answered_and_all_else_told_what_there_is() {
        let mut health = health();
        let readyz = |health: &Health| asked(&Method::GET, "/readyz", health);
        assert_eq!(
            readyz(&health),
            (503, TEXT.to_owned(), "starting: no pass over the rules has ended so far\n".to_owned())
        );
        assert_eq!(asked(&Method::GET, "/livez", &health), (200, TEXT.to_owned(), "live\n".to_owned()));
        health.observe(&pass(|_| {}), 0);
        assert_eq!(readyz(&health), (200, TEXT.to_owned(), "ready\n".to_owned()));
        health.observe(&pass(invalid), 0);
        let (code, _, reasons) = readyz(&health);
        assert_eq!((code, reasons.lines().count()), (503, 3), "{reasons}");
        assert!(reasons.starts_with("policy invalid: /etc/config/ip-masq-agent:2: "), "{reasons}");
        for method in [&Method::GET, &Method::HEAD] {
            let (code, kind, text) = asked(method, "/metrics", &health);
            assert_eq!((code, &*kind), (200, metrics::CONTENT_TYPE));
            assert!(text.ends_with("# EOF\n"), "{text}");
            let (code, kind, text) = asked(method, "/status", &health);
            assert_eq!((code, &*kind), (200, "application/json"));
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        for path in ["/", "", "/metrics/", "/livez/x", "*"] {
            let (code, _, text) = asked(&Method::GET, path, &health);
            assert!(code == 404 && text.ends_with(PATHS), "{path}: {text}");
        }
    }

    #[test]
    fn only_get_and_head_are_allowed() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT] {
            let answer = answer(&method, "/metrics", &scraper(&health()));
            assert_eq!((answer.status().as_u16(), answer.headers()[ALLOW].to_str().unwrap()), (405, "GET, HEAD"));
        }
    }
}
