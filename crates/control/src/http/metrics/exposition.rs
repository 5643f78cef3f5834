use std::fmt::Write;
use std::time::Duration;
use tandem_model::Histogram;

/// The text format of Prometheus, version 0.0.4, which every Prometheus and its linter read.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, until the process ends.
    Counter,
    /// Counts of values under bounds.
    Histogram,
}

/// A label with its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// One metric, to which samples are added.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Exposition {
    /// Begins a metric. It is named even if it has no sample.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        Family { text: &mut self.text, name }
    }

    /// A gauge with one sample.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, Kind::Gauge, help).sample(&[], value);
    }

    /// A gauge with one sample, or none where it was not measured.
    pub(super) fn gauge_if_known(&mut self, name: &'static str, help: &str, value: Option<u64>) {
        let mut family = self.family(name, Kind::Gauge, help);
        if let Some(value) = value {
            family.sample(&[], value);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Adds a whole number.
    pub(super) fn sample(&mut self, labels: &[Label<'_>], value: u64) {
        self.line("", labels, None, &value.to_string());
    }

    /// Adds a time, in seconds.
    pub(super) fn seconds(&mut self, labels: &[Label<'_>], value: Duration) {
        self.line("", labels, None, &seconds(value));
    }

    /// Adds the counts of a histogram of times, in seconds.
    pub(super) fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        for (bound, below) in histogram.cumulative() {
            self.line("_bucket", labels, Some(&seconds(bound)), &below.to_string());
        }
        self.line("_bucket", labels, Some("+Inf"), &histogram.count().to_string());
        self.line("_sum", labels, None, &seconds(histogram.sum()));
        self.line("_count", labels, None, &histogram.count().to_string());
    }

    fn line(&mut self, suffix: &str, labels: &[Label<'_>], bound: Option<&str>, value: &str) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (name, value) in labels {
            self.text.push(before);
            before = ',';
            self.text.push_str(name);
            self.text.push_str("=\"");
            push_escaped(self.text, value);
            self.text.push('"');
        }
        if before == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
    }
}

/// The value of a label may be anything, but for three characters that are written otherwise.
fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

/// Seconds without a loss, to a microsecond, and without zeros at the end.
fn seconds(value: Duration) -> String {
    let text = format!("{}.{:06}", value.as_secs(), value.subsec_micros());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Of the text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_prometheus_reads() {
        const BOUNDS: &[Duration] = &[Duration::from_millis(50), Duration::from_secs(2)];
        let mut histogram = Histogram::new(BOUNDS);
        histogram.observe(Duration::from_micros(1_500));
        histogram.observe(Duration::from_secs(20));
        let mut exposition = Exposition::default();
        exposition.gauge("one", "A gauge.", 1);
        exposition.gauge_if_known("none", "Unknown.", None);
        let labels = [("name", "a\"b\\c\nd"), ("more", "x")];
        exposition
            .family("two_seconds_total", Kind::Counter, "A time.")
            .seconds(&labels, Duration::from_millis(12_340));
        exposition.family("three_seconds", Kind::Histogram, "Times.").histogram(&[("trunk", "t")], &histogram);
        let expected = r#"# HELP one A gauge.
# TYPE one gauge
one 1
# HELP none Unknown.
# TYPE none gauge
# HELP two_seconds_total A time.
# TYPE two_seconds_total counter
two_seconds_total{name="a\"b\\c\nd",more="x"} 12.34
# HELP three_seconds Times.
# TYPE three_seconds histogram
three_seconds_bucket{trunk="t",le="0.05"} 1
three_seconds_bucket{trunk="t",le="2"} 1
three_seconds_bucket{trunk="t",le="+Inf"} 2
three_seconds_sum{trunk="t"} 20.0015
three_seconds_count{trunk="t"} 2
"#;
        assert_eq!(exposition.into_text(), expected);
    }

    #[test]
    fn whole_seconds_keep_their_zeros() {
        assert_eq!(seconds(Duration::from_secs(30)), "30");
        assert_eq!(seconds(Duration::ZERO), "0");
    }
}
