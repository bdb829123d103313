//! The shape of variants.toml: its keys, their types and their documentation.
//!
//! The structural check and the JSON Schema are both made from this table, so they cannot differ.

/// The type of a value.
#[derive(Debug)]
pub enum Type {
    /// Any string.
    Text,
    /// Exactly this number.
    Exactly(i64),
    /// `true` or `false`.
    Boolean,
    /// `false` alone.
    False,
    /// An array.
    List(&'static Type),
    /// A table with known keys.
    Table(TableShape),
    /// A table whose keys the user chooses.
    Map(&'static Type),
    /// `[settings]`: [`crate::settings`] checks its keys and provides its schema.
    Settings,
    /// One of several types, distinguished by their TOML type.
    Either(&'static [Type]),
}

/// A table with known keys.
#[derive(Debug)]
pub struct TableShape {
    /// The keys.
    pub fields: &'static [Field],
    /// The type of all other keys; `None`: they are unknown keys. Such keys are names that the file
    /// defines, such as axes; the expansion checks them.
    pub rest: Option<&'static Type>,
}

/// A key of a table.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// Its documentation, for editors and hints.
    pub doc: &'static str,
    /// The type of its value.
    pub ty: Type,
    /// Whether it is mandatory.
    pub required: bool,
}

const fn required(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field {
        name,
        doc,
        ty,
        required: true,
    }
}

const fn optional(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field {
        name,
        doc,
        ty,
        required: false,
    }
}

const fn table(fields: &'static [Field]) -> Type {
    Type::Table(TableShape { fields, rest: None })
}

const fn open_table(fields: &'static [Field], rest: &'static Type) -> Type {
    Type::Table(TableShape {
        fields,
        rest: Some(rest),
    })
}

static TEXT: Type = Type::Text;
static TEXT_MAP: Type = Type::Map(&TEXT);
/// One name or several.
const NAMES: Type = Type::Either(&[Type::Text, Type::List(&TEXT)]);
/// One name, several, or `false` to leave an axis unset.
static AXIS_CHOICE: Type = Type::Either(&[Type::Text, Type::List(&TEXT), Type::False]);
/// One glob, several, or `true` and `false` for "is set" and "is unset".
static TEST: Type = Type::Either(&[Type::Text, Type::List(&TEXT), Type::Boolean]);

static AXIS: Type = Type::Either(&[Type::List(&TEXT), Type::Map(&TEXT_MAP)]);

static NAMING: &[Field] = &[
    required(
        "id",
        Type::Text,
        "Template of the id of a variant, unique on its machine. Variables: the axes and their properties, `machine`, `machine.arch`, `machine.kas`, `machine.<var>`. Example: `{role}[-{profile}]`.",
    ),
    optional(
        "unique_name",
        Type::Text,
        "Template of the name of an artifact, unique in the matrix and valid in the Nix store. Further variables: `id`, `extension`, `type`. Default `isar-{id}-{machine}{extension}`.",
    ),
    required(
        "deploy_name",
        Type::Text,
        "Template of the file name of an artifact in ISAR's deploy directory. Further variables: `id`, `extension`. ISAR uses `<recipe>-<distro>-<machine><extension>`.",
    ),
    optional(
        "release_asset",
        Type::Text,
        "Template of the name under which a file is published. Further variables: `id`, `extension`, `version`. Default `{id}-{machine}-{version}{extension}`.",
    ),
    optional(
        "attr_path",
        Type::List(&TEXT),
        "Templates of the path of a variant's attribute set in Nix. An element with an unset variable is left out. Further variable: `id`. Default `[\"{machine}\", \"{id}\"]`.",
    ),
];

static ARTIFACT: Type = table(&[
    required(
        "extension",
        Type::Text,
        "The value of `{extension}`: the end of the file name, with its dot or dash.",
    ),
    optional(
        "attr",
        Type::Text,
        "The name of the attribute under `attr_path` of the variant. Default: the name of the type.",
    ),
    optional(
        "optional",
        Type::Boolean,
        "Whether a build is complete without it. Default `false`.",
    ),
    optional(
        "unique",
        Type::Boolean,
        "Whether two variants must not have files with the same content. Set it for files that differ in every variant, such as disk images. Default `false`.",
    ),
    optional(
        "format",
        Type::Text,
        "The format that the file must have: `disk`, `kernel`, `initrd`, `tar`, `ext4`, `squashfs`, `fat`, `bmap`, `compressed` or `any`. Default: by the end of its name, such as `disk` for `.wic` (docs/gates.md).",
    ),
    optional(
        "compress",
        Type::Text,
        "Makes a compressed copy, named as the artifact with `.zst`: `zst`, `zst:LEVEL` with a level from 1 to 19 (`zst` is `zst:3`), or `none`. Default `none`.",
    ),
    optional(
        "bmap",
        Type::Boolean,
        "Makes a block map for bmaptool, named as the artifact with `.bmap`, unless the build deploys one. Default `false`.",
    ),
    optional(
        "products",
        Type::List(&Type::Text),
        "Further products that are made of the artifact: `bmap`, `zst`, `zst:LEVEL`.",
    ),
    optional(
        "deploy_name",
        Type::Text,
        "Template of the file name in the deploy directory, if it differs from `naming.deploy_name`.",
    ),
]);

static MACHINE_ARTIFACT: Type = Type::Either(&[
    Type::Text,
    table(&[
        required(
            "type",
            Type::Text,
            "The artifact type, as in `[artifacts]`.",
        ),
        optional("extension", Type::Text, "The extension, on this machine."),
        optional(
            "attr",
            Type::Text,
            "The name of the attribute, on this machine.",
        ),
        optional(
            "optional",
            Type::Boolean,
            "Whether a build is complete without it, on this machine.",
        ),
        optional(
            "unique",
            Type::Boolean,
            "Whether two variants must not have files with the same content, on this machine.",
        ),
        optional(
            "format",
            Type::Text,
            "The format that the file must have, on this machine.",
        ),
        optional(
            "compress",
            Type::Text,
            "The compressed copy, on this machine.",
        ),
        optional(
            "bmap",
            Type::Boolean,
            "Whether a block map is made, on this machine.",
        ),
        optional(
            "products",
            Type::List(&Type::Text),
            "Further products, on this machine.",
        ),
        optional(
            "deploy_name",
            Type::Text,
            "Template of the file name in the deploy directory, on this machine.",
        ),
    ]),
]);

static RELEASE_FILE: Type = Type::Either(&[
    Type::Text,
    table(&[
        required("extension", Type::Text, "The value of `{extension}`."),
        optional(
            "optional",
            Type::Boolean,
            "Whether a release is complete without it. Default `false`.",
        ),
    ]),
]);

static MACHINE: Type = table(&[
    required(
        "arch",
        Type::Text,
        "The architecture of the machine: `amd64`, `arm64`, `armhf`, `i386` or `riscv64`.",
    ),
    optional(
        "kas",
        Type::Text,
        "The kas file of the machine, for `{machine.kas}` in the chain.",
    ),
    required(
        "artifacts",
        Type::List(&MACHINE_ARTIFACT),
        "The artifact types that a build for this machine deploys, in order: names from `[artifacts]`, or tables that change one for this machine.",
    ),
    optional(
        "release",
        Type::List(&RELEASE_FILE),
        "The files that a release of this machine publishes, by extension.",
    ),
    optional(
        "vars",
        Type::Map(&TEXT),
        "Variables of the machine, for `{machine.<name>}` in templates.",
    ),
]);

/// Conditions on something else than an axis.
const WHEN_FIELDS: &[Field] = &[
    optional("machine", NAMES, "Globs of machine names."),
    optional("arch", NAMES, "Architectures of the machine."),
    optional("host-arch", NAMES, "Architectures of the build host."),
    optional(
        "native",
        Type::Boolean,
        "Whether the build host has the architecture of the machine.",
    ),
];

/// An element of `kas.chain`.
pub static CHAIN_ENTRY: Type = Type::Either(&[
    Type::Text,
    table(&[
        required(
            "file",
            Type::Text,
            "Template of the file, relative to variants.toml.",
        ),
        optional(
            "when",
            Type::Table(TableShape {
                fields: WHEN_FIELDS,
                rest: Some(&TEST),
            }),
            "Conditions, all of which must hold. An axis, `machine`, `arch` or `host-arch` is compared with a glob or a list of globs (`!` negates). For an axis, `true` means set and `false` unset. `native` is `true` or `false`.",
        ),
    ]),
]);

static SELECTION: Type = open_table(
    &[
        optional("machine", NAMES, "Globs of machine names."),
        optional("arch", NAMES, "Architectures of the machine."),
    ],
    &TEST,
);

static ADDITION: Type = open_table(
    &[optional(
        "machine",
        NAMES,
        "The machines. Default: those of the entry.",
    )],
    &AXIS_CHOICE,
);

/// An element of `variants`.
pub static VARIANTS: Type = open_table(
    &[
        required("machine", NAMES, "One machine, or several."),
        optional(
            "exclude",
            Type::List(&SELECTION),
            "Combinations to leave out: those for which all conditions of one of these tables hold. Conditions are written as in `when`, on axes, `machine` and `arch`.",
        ),
        optional(
            "include",
            Type::List(&ADDITION),
            "Combinations to add: the entry, with these axes replaced (`false` unsets one).",
        ),
    ],
    &AXIS_CHOICE,
);

static RELEASE: &[Field] = &[
    optional(
        "version",
        Type::Text,
        "The value of `{version}`, unless `--release-version` is given. Default `dev`.",
    ),
    required(
        "variants",
        Type::List(&TEXT),
        "Globs of the variants that are published, in this order: `machine/id`, or `id` for every machine.",
    ),
];

/// The whole file.
pub static ROOT: TableShape = TableShape {
    fields: &[
        required(
            "schema",
            Type::Exactly(1),
            "The version of this format: `1`.",
        ),
        required(
            "axes",
            Type::Map(&AXIS),
            "The axes in which variants differ. An axis is a list of values, or a table from value to properties (`{axis.property}` in templates). The order of the axes is the order of expansion: the last varies fastest.",
        ),
        required(
            "naming",
            table(NAMING),
            "Templates of all names. `{a}` is a variable, `{a|b}` the first that is set, `[-{a}]` a group that is dropped if a variable in it is unset; `{{ }} [[ ]]` are literal characters.",
        ),
        required(
            "artifacts",
            Type::Map(&ARTIFACT),
            "The types of the files that builds deploy.",
        ),
        required(
            "machines",
            Type::Map(&MACHINE),
            "The machines, by the names that ISAR gives them.",
        ),
        required(
            "kas",
            table(&[required(
                "chain",
                Type::List(&CHAIN_ENTRY),
                "The kas files, in order: templates, or tables `{ file, when }`.",
            )]),
            "The kas files that configure a variant.",
        ),
        required(
            "variants",
            Type::List(&VARIANTS),
            "The variants: each entry expands to the product of its machines and axis values.",
        ),
        optional(
            "release",
            table(RELEASE),
            "The variants that are published.",
        ),
        optional(
            "settings",
            Type::Settings,
            "Settings of this project. Environment variables and the command line override them.",
        ),
    ],
    rest: None,
};
