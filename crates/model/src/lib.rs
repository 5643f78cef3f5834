//! The vocabulary that every crate shares: numbers, ids, money, causes, trunks and call records.
