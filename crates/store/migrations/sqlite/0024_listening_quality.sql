-- The listening quality of a leg as a mean opinion score, in thousandths, and what it adds up to. Legs that an earlier build wrote have none.
ALTER TABLE call_legs ADD COLUMN mos_millis INTEGER;
ALTER TABLE traffic ADD COLUMN heard INTEGER NOT NULL DEFAULT 0;
ALTER TABLE traffic ADD COLUMN heard_mos_millis INTEGER NOT NULL DEFAULT 0;
