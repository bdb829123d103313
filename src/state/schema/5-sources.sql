-- The rest of the state of the file that was captured: one in the same state need not be read again.
ALTER TABLE artifacts ADD COLUMN source_device INTEGER;
ALTER TABLE artifacts ADD COLUMN source_mtime INTEGER;
ALTER TABLE artifacts ADD COLUMN source_mtime_ns INTEGER;
