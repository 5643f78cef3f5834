-- Only a table of SQLite changed; both count their migrations alike.
SELECT 1;
