-- The state of the files that a build may deploy, when it began and when it had ended well, and whose
-- they were then; without an owner where nothing proves one.
CREATE TABLE deploy_states (
    build INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    moment TEXT NOT NULL CHECK (moment IN ('before', 'after')),
    path TEXT NOT NULL,
    deploy_name TEXT NOT NULL,
    inode INTEGER NOT NULL,
    ctime INTEGER NOT NULL,
    ctime_ns INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    owner_machine TEXT,
    owner_variant TEXT,
    PRIMARY KEY (build, moment, path)
) STRICT, WITHOUT ROWID;
