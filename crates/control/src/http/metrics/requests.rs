use super::exposition::{Exposition, Kind};
use axum::http::{Method, StatusCode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_model::Histogram;

/// What was asked of the API since the process began: by route and method, never by what a client chose to write.
#[derive(Clone, Default)]
pub(in crate::http) struct Requests {
    /// Held for a look-up and an addition.
    routes: Arc<Mutex<BTreeMap<String, BTreeMap<&'static str, Answered>>>>,
}

/// What came of the requests to one route by one method.
struct Answered {
    by_class: BTreeMap<&'static str, u64>,
    duration: Histogram,
}

impl Requests {
    /// Counts a request, with the time until its answer began.
    pub(in crate::http) fn count(&self, route: &str, method: &Method, status: StatusCode, duration: Duration) {
        let (method, class) = (known_method(method), class(status.as_u16()));
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), BTreeMap::new());
        }
        if let Some(methods) = routes.get_mut(route) {
            let answered = methods.entry(method).or_default();
            *answered.by_class.entry(class).or_default() += 1;
            answered.duration.observe(duration);
        }
    }

    pub(super) fn expose(&self, exposition: &mut Exposition) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let each = || {
            routes.iter().flat_map(|(route, methods)| {
                methods
                    .iter()
                    .map(move |(method, answered)| ([("route", route.as_str()), ("method", *method)], answered))
            })
        };
        let help = "HTTP requests answered, by route, method and class of the status.";
        let mut total = exposition.family("tandem_http_requests_total", Kind::Counter, help);
        for ([route, method], answered) in each() {
            for (class, count) in &answered.by_class {
                total.sample(&[route, method, ("status", class)], *count);
            }
        }
        let help = "Time from the head of an HTTP request to the head of its answer.";
        let mut duration = exposition.family("tandem_http_request_duration_seconds", Kind::Histogram, help);
        for (labels, answered) in each() {
            duration.histogram(&labels, &answered.duration);
        }
    }
}

impl Default for Answered {
    fn default() -> Self {
        Self { by_class: BTreeMap::new(), duration: Histogram::new(DURATIONS) }
    }
}

/// A client may make up a method; only those that are known are told apart.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

const fn class(status: u16) -> &'static str {
    match status {
        0..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500.. => "5xx",
    }
}

/// Most is answered from memory or by one query; a request that takes longer than a few seconds has been given up.
const DURATIONS: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];
