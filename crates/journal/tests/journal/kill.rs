use crate::samples::{SHARD, SHORT_SEGMENTS, all_records, event, open, records, temporary};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use tandem_journal::Tailer;

/// Set for the process that is to be killed: where its journal is.
const DIRECTORY: &str = "TANDEM_TEST_JOURNAL";
/// Set for that process: the number of its first event.
const FIRST: &str = "TANDEM_TEST_FIRST";

/// The process that is to be killed. Without the variables this is no test.
#[test]
fn child() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else { return };
    let (mut writer, _) = open(Path::new(&directory), SHORT_SEGMENTS);
    let mut number: u32 = first.parse().unwrap();
    let mut output = std::io::stdout().lock();
    loop {
        writer.append(&[event(1, number), event(1, number + 1), event(1, number + 2)]).unwrap();
        number += 3;
        // Whoever reads this knows that all before this number was appended.
        if writeln!(output, "{number}").is_err() {
            return;
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_append_returned_for() {
    let directory = temporary();
    let mut first = 0_u32;
    for round in 0..8_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut appended = first;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The kill falls somewhere into the appends that follow.
        for number in lines.by_ref().filter_map(|line| line.trim().parse().ok()).take(1 + round * 37) {
            appended = number;
        }
        child.kill().unwrap();
        appended = lines.filter_map(|line| line.trim().parse().ok()).last().unwrap_or(appended);
        child.wait().unwrap();
        assert!(appended > first, "the child appended nothing");

        let (writer, recovered) = open(directory.path(), SHORT_SEGMENTS);
        assert!(recovered.damaged.is_empty(), "{:?}", recovered.damaged);
        drop(writer);
        let mut tailer = Tailer::open(directory.path(), SHARD, None).unwrap();
        let seen = all_records(&mut tailer);
        let count = u32::try_from(seen.len()).unwrap();
        assert!(count >= appended, "{appended} were appended, {count} are there");
        let expected: Vec<_> = (0..count).map(|number| event(1, number)).collect();
        assert_eq!(seen, records(&expected));
        first = count;
    }
}
