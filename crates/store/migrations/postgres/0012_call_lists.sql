-- Calls by number and by conversation, newest first. A number is asked for with its account, as a carrier's customer service does.
CREATE INDEX call_logs_from_number ON call_logs (account_id, from_number, started_at);
CREATE INDEX call_logs_to_number ON call_logs (account_id, to_number, started_at);
-- Calls without one pay nothing.
CREATE INDEX call_logs_of_conversation ON call_logs (conversation_id, started_at) WHERE conversation_id IS NOT NULL;
