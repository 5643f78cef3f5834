//! Replays what the fuzzers have found worth keeping. `fuzz/corpus/<target>/` has it.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::path::{Path, PathBuf};

use tandem_fuzz::TARGETS;

/// More would make every run of the tests slower, and are what `cargo fuzz cmin` throws out.
const MOST_FILES: usize = 200;

#[test]
fn every_target_has_a_corpus_and_nothing_else_has() {
    let mut folders: Vec<String> = entries(&corpus()).iter().map(|path| name_of(path)).collect();
    let mut targets: Vec<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    folders.sort();
    targets.sort();
    assert_eq!(folders, targets);
}

#[test]
fn the_corpus_is_replayed() {
    for target in TARGETS {
        let files = entries(&corpus().join(target.name));
        assert!(!files.is_empty() && files.len() <= MOST_FILES, "{}: {} files", target.name, files.len());
        for file in files {
            let input = std::fs::read(&file).unwrap();
            // So that the output of a failing run says which file it was.
            println!("{}", file.display());
            (target.run)(&input);
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}
