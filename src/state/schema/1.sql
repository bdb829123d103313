-- Times are RFC 3339 in UTC, durations seconds, hashes lower-case hexadecimal.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    command TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT,
    outcome TEXT
) STRICT;

CREATE TABLE builds (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    machine TEXT NOT NULL,
    variant TEXT NOT NULL,
    build_dir TEXT NOT NULL,
    kas TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT,
    outcome TEXT,
    seconds REAL
) STRICT;
CREATE INDEX builds_by_dir ON builds (build_dir, id);
CREATE INDEX builds_by_variant ON builds (machine, variant, id);

-- What a build may deploy, which is what it owns when it ends well.
CREATE TABLE build_deploys (
    build INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    deploy_name TEXT NOT NULL,
    PRIMARY KEY (build, deploy_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL,
    machine TEXT NOT NULL,
    variant TEXT NOT NULL,
    type TEXT NOT NULL,
    unique_name TEXT NOT NULL,
    deploy_name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    store_path TEXT NOT NULL,
    registered TEXT NOT NULL,
    -- The state of the file that was captured: what it was tells later whether it is still that.
    source_inode INTEGER NOT NULL,
    source_ctime INTEGER NOT NULL,
    source_ctime_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX artifacts_by_name ON artifacts (unique_name, id);
