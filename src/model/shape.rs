//! The shape of variants.toml: one table of its keys, which the structural check and the JSON Schema
//! are both made from, so that they cannot drift. Knows the keys and their types, not their meaning.

/// What a value may be.
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
    Table(Table),
    /// A table whose keys are the user's own names.
    Map(&'static Type),
    /// The settings, whose keys are their own room's: `src/settings` checks them and gives their schema.
    Settings,
    /// One of several, told apart by their TOML type.
    Either(&'static [Type]),
}

/// A table with known keys.
#[derive(Debug)]
pub struct Table {
    /// The keys.
    pub fields: &'static [Field],
    /// What keys beyond these may hold; `None` refuses them. They are names that the file itself
    /// defines, such as axes, and are checked where those are known.
    pub rest: Option<&'static Type>,
}

/// A key of a table.
#[derive(Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What it is for; shown by editors and in hints.
    pub doc: &'static str,
    /// What it holds.
    pub ty: Type,
    /// Whether it must be there.
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
    Type::Table(Table { fields, rest: None })
}

const fn open_table(fields: &'static [Field], rest: &'static Type) -> Type {
    Type::Table(Table {
        fields,
        rest: Some(rest),
    })
}

static TEXT: Type = Type::Text;
static TEXT_MAP: Type = Type::Map(&TEXT);
/// One name or several.
const NAMES: Type = Type::Either(&[Type::Text, Type::List(&TEXT)]);
/// One name, several, or `false`: the axis is unset.
static AXIS_CHOICE: Type = Type::Either(&[Type::Text, Type::List(&TEXT), Type::False]);
/// A glob, several, or whether the axis is set at all.
static TEST: Type = Type::Either(&[Type::Text, Type::List(&TEXT), Type::Boolean]);

static AXIS: Type = Type::Either(&[Type::List(&TEXT), Type::Map(&TEXT_MAP)]);

static NAMING: &[Field] = &[
    required(
        "id",
        Type::Text,
        "Template of a variant's id, unique on its machine. Variables: the axes and their properties, `machine`, `machine.arch`, `machine.kas`, `machine.<var>`. Example: `{role}[-{profile}]`.",
    ),
    optional(
        "unique_name",
        Type::Text,
        "Template of the name that no other artifact has; a valid Nix store name. Also has `id`, `extension` and `type`. Default `isar-{id}-{machine}{extension}`.",
    ),
    required(
        "deploy_name",
        Type::Text,
        "Template of an artifact's file name in ISAR's deploy directory. Also has `id` and `extension`. ISAR's own is `<recipe>-<distro>-<machine><extension>`.",
    ),
    optional(
        "release_asset",
        Type::Text,
        "Template of the name under which a file is published. Also has `id`, `extension` and `version`. Default `{id}-{machine}-{version}{extension}`.",
    ),
    optional(
        "attr_path",
        Type::List(&TEXT),
        "Templates of the path of a variant's attribute set in Nix; an element in which a variable is unset is left out. Also has `id`. Default `[\"{machine}\", \"{id}\"]`.",
    ),
];

static ARTIFACT: Type = table(&[
    required(
        "extension",
        Type::Text,
        "What `{extension}` stands for: all that follows the common part of the file's name, with its dot or dash.",
    ),
    optional(
        "attr",
        Type::Text,
        "The attribute's name under the variant's `attr_path`. Default: the type's name.",
    ),
    optional(
        "optional",
        Type::Boolean,
        "Whether a build is complete without it. Default `false`.",
    ),
    optional(
        "unique",
        Type::Boolean,
        "Whether no two variants may have a file of the same content; set it for what differs in every variant, as the disk image does. Default `false`.",
    ),
    optional(
        "format",
        Type::Text,
        "What the file has to be: `disk`, `kernel`, `initrd`, `tar`, `ext4`, `squashfs`, `fat`, `bmap`, `compressed` or `any`. Default: what its name says, as `.wic` says `disk`; docs/gates.md.",
    ),
    optional(
        "compress",
        Type::Text,
        "Have a compressed copy made beside it, under its unique name with `.zst`: `zst`, or `zst:LEVEL` with a level from 1 to 19 (`zst` is `zst:3`), or `none`. Default `none`.",
    ),
    optional(
        "bmap",
        Type::Boolean,
        "Have a block map for bmaptool made beside it, under its unique name with `.bmap`, unless the build deploys that. Default `false`.",
    ),
    optional(
        "deploy_name",
        Type::Text,
        "Template of the file name in the deploy directory, where it differs from `naming.deploy_name`.",
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
        optional("extension", Type::Text, "The extension on this machine."),
        optional("attr", Type::Text, "The attribute's name on this machine."),
        optional(
            "optional",
            Type::Boolean,
            "Whether a build is complete without it, on this machine.",
        ),
        optional(
            "unique",
            Type::Boolean,
            "Whether no two variants may have a file of the same content, on this machine.",
        ),
        optional(
            "format",
            Type::Text,
            "What the file has to be, on this machine.",
        ),
        optional(
            "compress",
            Type::Text,
            "The compressed copy that is made of it, on this machine.",
        ),
        optional(
            "bmap",
            Type::Boolean,
            "Whether a block map is made of it, on this machine.",
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
        required("extension", Type::Text, "What `{extension}` stands for."),
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
        "The machine's architecture: `amd64`, `arm64`, `armhf`, `i386` or `riscv64`.",
    ),
    optional(
        "kas",
        Type::Text,
        "The machine's kas file, for `{machine.kas}` in the chain.",
    ),
    required(
        "artifacts",
        Type::List(&MACHINE_ARTIFACT),
        "The artifact types that a build for this machine deploys, in order: names from `[artifacts]`, or tables that change one for this machine.",
    ),
    optional(
        "release",
        Type::List(&RELEASE_FILE),
        "The extensions of the files that a release of this machine publishes.",
    ),
    optional(
        "vars",
        Type::Map(&TEXT),
        "Variables of the machine, for `{machine.<name>}` in templates.",
    ),
]);

/// The conditions that are not on axes.
const WHEN_FIELDS: &[Field] = &[
    optional("machine", NAMES, "Globs of machine names."),
    optional("arch", NAMES, "Architectures of the machine."),
    optional(
        "host-arch",
        NAMES,
        "Architectures of the machine that builds.",
    ),
    optional(
        "native",
        Type::Boolean,
        "Whether the building machine has the target's architecture.",
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
            Type::Table(Table {
                fields: WHEN_FIELDS,
                rest: Some(&TEST),
            }),
            "Conditions that must all hold: an axis, `machine`, `arch` or `host-arch` with a glob, a list of globs (`!` negates), `true` (set) or `false` (unset); `native` with `true` or `false`.",
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
        "The machines; default those of the entry.",
    )],
    &AXIS_CHOICE,
);

/// An element of `variants`.
pub static VARIANTS: Type = open_table(
    &[
        required("machine", NAMES, "The machine, or several."),
        optional(
            "exclude",
            Type::List(&SELECTION),
            "Combinations to leave out: all conditions of one of these tables hold. Written as in `when`, on axes, `machine` and `arch`.",
        ),
        optional(
            "include",
            Type::List(&ADDITION),
            "Combinations to add: the entry with these axes replaced (`false` unsets one).",
        ),
    ],
    &AXIS_CHOICE,
);

static RELEASE: &[Field] = &[
    optional(
        "version",
        Type::Text,
        "What `{version}` stands for unless the command line says. Default `dev`.",
    ),
    required(
        "variants",
        Type::List(&TEXT),
        "Globs of the variants that are published, in this order: `machine/id`, or `id` on every machine.",
    ),
];

/// The whole file.
pub static ROOT: Table = Table {
    fields: &[
        required(
            "schema",
            Type::Exactly(1),
            "The version of this format: `1`.",
        ),
        required(
            "axes",
            Type::Map(&AXIS),
            "What variants differ in. An axis is a list of values, or a table from value to properties (`{axis.property}` in templates). The order of the axes is the order of expansion: the last varies fastest.",
        ),
        required(
            "naming",
            table(NAMING),
            "Templates of every name. `{a}` is a variable, `{a|b}` the first that is set, `[-{a}]` a group that is dropped when a variable in it is unset; `{{ }} [[ ]]` are the characters themselves.",
        ),
        required(
            "artifacts",
            Type::Map(&ARTIFACT),
            "The types of files that builds deploy.",
        ),
        required(
            "machines",
            Type::Map(&MACHINE),
            "The machines, under the names that ISAR knows them by.",
        ),
        required(
            "kas",
            table(&[required(
                "chain",
                Type::List(&CHAIN_ENTRY),
                "The kas files in order: templates, or tables `{ file, when }`.",
            )]),
            "How a variant is configured.",
        ),
        required(
            "variants",
            Type::List(&VARIANTS),
            "What is built: each entry expands to the product of its machines and axis values.",
        ),
        optional("release", table(RELEASE), "What is published."),
        optional(
            "settings",
            Type::Settings,
            "Settings of this project; the user's environment and command line go over them.",
        ),
    ],
    rest: None,
};
