-- No query looks for legs by their trunk, and each leg paid for an entry.
DROP INDEX call_legs_of_trunk;
