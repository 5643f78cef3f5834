"""The benches, one file a subject. Each has `run(bench)`, which measures, and `tables(results)`, which shows and judges."""
