-- The listening quality of a leg as a mean opinion score, in thousandths, and what it adds up to. Legs that an earlier build wrote have none.
ALTER TABLE call_legs ADD COLUMN mos_millis BIGINT;
ALTER TABLE traffic ADD COLUMN heard BIGINT NOT NULL DEFAULT 0;
ALTER TABLE traffic ADD COLUMN heard_mos_millis BIGINT NOT NULL DEFAULT 0;
