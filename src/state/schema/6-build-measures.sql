-- What a build took of the machine, as far as it was measured: the most bytes of memory at one time,
-- seconds of processor time over so many seconds, and after how many seconds what it shares with other
-- variants was in the shared state cache.
CREATE TABLE build_measures (
    build INTEGER PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    memory INTEGER,
    cpu_seconds REAL,
    measured_seconds REAL,
    shared_seconds REAL
) STRICT;
