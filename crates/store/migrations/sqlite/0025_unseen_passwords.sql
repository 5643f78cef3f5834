-- 1 while the password is one that the node has made, for a request that can be repeated, and nobody has used or replaced it.
ALTER TABLE users ADD COLUMN password_unseen INTEGER NOT NULL DEFAULT 0;
