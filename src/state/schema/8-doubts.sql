-- Why the last build of a variant left no input key.
CREATE TABLE doubts (
    machine TEXT NOT NULL,
    variant TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (machine, variant)
) STRICT, WITHOUT ROWID;
