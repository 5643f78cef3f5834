//! PostgreSQL and SQLite behind one Store, with secrets sealed at rest.
