-- What was made of the registered artifacts of a variant and lies in the output directory (JSON).
CREATE TABLE products (
    machine TEXT NOT NULL,
    variant TEXT NOT NULL,
    products TEXT NOT NULL,
    PRIMARY KEY (machine, variant)
) STRICT, WITHOUT ROWID;
