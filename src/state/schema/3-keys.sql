-- What the last complete build of each variant was made of: built, captured and registered, while its
-- inputs stayed what they were. A build that begins takes the row away.
CREATE TABLE keys (
    machine TEXT NOT NULL,
    variant TEXT NOT NULL,
    -- The input key, and the lines that it is the hash of (JSON).
    key TEXT NOT NULL,
    lines TEXT NOT NULL,
    -- What of them nothing pins (JSON).
    unpinned TEXT NOT NULL,
    -- Every declared artifact, and what was registered of it (JSON).
    artifacts TEXT NOT NULL,
    store TEXT NOT NULL,
    run TEXT NOT NULL,
    -- When the build began: what it fetched is not older.
    started TEXT NOT NULL,
    PRIMARY KEY (machine, variant)
) STRICT, WITHOUT ROWID;

-- What programs said of themselves when they were asked last.
CREATE TABLE tools (
    -- The program, its content, the engine and the image: what the answer is about.
    subject TEXT PRIMARY KEY,
    version TEXT,
    digest TEXT,
    asked TEXT NOT NULL
) STRICT, WITHOUT ROWID;
