-- The longest time, in seconds, for which a task said nothing in a build that ended well. `task` is
-- `recipe-version:do_task`, or empty for the console where no task ran.
CREATE TABLE silences (
    machine TEXT NOT NULL,
    variant TEXT NOT NULL,
    task TEXT NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (machine, variant, task)
) STRICT, WITHOUT ROWID;
