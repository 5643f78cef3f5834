"""What the benches are made of: processes and what they cost, nodes and peers, generators, results."""
