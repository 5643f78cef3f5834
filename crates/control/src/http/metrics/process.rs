use super::exposition::{Exposition, Kind};
use std::fs;
use std::time::Duration;

/// What the kernel tells of this process, under the names that Prometheus has for it. What cannot be read is left out.
pub(super) fn expose(exposition: &mut Exposition) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let stat = Stat::parse(&stat);
    let cpu = stat.as_ref().map(|stat| stat.cpu);
    let help = "User and system time that the process has taken.";
    let mut family = exposition.family("process_cpu_seconds_total", Kind::Counter, help);
    if let Some(cpu) = cpu {
        family.seconds(&[], cpu);
    }
    let booted = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text));
    let started = booted.zip(stat.as_ref()).map(|(booted, stat)| booted + stat.started_after_boot);
    let help = "When the process began, in seconds since 1970.";
    let mut family = exposition.family("process_start_time_seconds", Kind::Gauge, help);
    if let Some(started) = started {
        family.seconds(&[], started);
    }
    let memory = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| u64::try_from(files.count()).unwrap_or(u64::MAX));
    let limit = fs::read_to_string("/proc/self/limits").ok().and_then(|text| open_file_limit(&text));
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory of the process that is in RAM.", kibibytes(&memory, "VmRSS:")),
        ("process_virtual_memory_bytes", "Address space of the process.", kibibytes(&memory, "VmSize:")),
        ("process_threads", "Threads of the process.", stat.map(|stat| stat.threads)),
        ("process_open_fds", "Files and sockets that the process has open.", open),
        ("process_max_fds", "Files and sockets that it may have open.", limit),
    ] {
        exposition.gauge_if_known(name, help, value);
    }
}

/// Of proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu: Duration,
    threads: u64,
    started_after_boot: Duration,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may have blanks and parentheses; what follows it has none.
        let (_, rest) = text.rsplit_once(')')?;
        // The state is the third field.
        let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let ticks = |count: u64| Duration::from_millis(count.saturating_mul(1_000 / TICKS_A_SECOND));
        Some(Self {
            cpu: ticks(field(14)?.saturating_add(field(15)?)),
            threads: field(20)?,
            started_after_boot: ticks(field(22)?),
        })
    }
}

/// Since 1970, of proc_stat(5).
fn boot_time(text: &str) -> Option<Duration> {
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).map(Duration::from_secs)
}

/// In bytes, of proc_pid_status(5).
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

/// The soft one, of proc_pid_limits(5); none when there is no limit.
fn open_file_limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Of times that the kernel tells to programs: USER_HZ, which is 100 wherever Linux runs but on Alpha and Itanium.
const TICKS_A_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let stat =
            "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 5000 0 12 0 250 125 0 0 20 0 9 0 123456 1000 200 0";
        let read = Stat {
            cpu: Duration::from_millis(3_750),
            threads: 9,
            started_after_boot: Duration::from_millis(1_234_560),
        };
        assert_eq!(Stat::parse(stat), Some(read));
        assert_eq!(Stat::parse("4711 (short) S 1"), None);
        assert_eq!(boot_time("cpu  1 2 3\nbtime 1700000000\nprocesses 5\n"), Some(Duration::from_secs(1_700_000_000)));
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t   2048 kB\n", "VmRSS:"), Some(2_097_152));
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(open_file_limit(limits), Some(1_024));
        assert_eq!(open_file_limit("Max open files            unlimited            unlimited            files"), None);
    }

    #[test]
    fn this_process_has_every_number() {
        let mut exposition = Exposition::default();
        expose(&mut exposition);
        let text = exposition.into_text();
        for name in [
            "cpu_seconds_total",
            "start_time_seconds",
            "resident_memory_bytes",
            "virtual_memory_bytes",
            "threads",
            "open_fds",
            "max_fds",
        ] {
            let sample = text.lines().find_map(|line| line.strip_prefix(&format!("process_{name} ")));
            assert!(sample.is_some_and(|value| value.parse::<f64>().is_ok_and(|value| value >= 0.0)), "{name}: {text}");
        }
    }
}
