//! Tests of the layers, and of every message of this room.

use std::path::Path;

use crate::settings::*;

/// The stores that these settings can name.
const STORES: [StoreWord; 2] = [
    StoreWord {
        name: "nix",
        help: "",
    },
    StoreWord {
        name: "local",
        help: "",
    },
];

const HOME: &str = "/home/user";

fn input(user: &str, project: &str, variables: &[(&str, &str)]) -> LayerInput {
    LayerInput {
        project_dir: "/src/product".into(),
        working_dir: "/src".into(),
        user: Some(LayerFile {
            path: "/home/user/.config/isar-build-all/config.toml".into(),
            text: user.to_owned(),
        }),
        project: Some(LayerFile {
            path: "/src/product/variants.toml".into(),
            text: project.to_owned(),
        }),
        environment: Environment::new(Path::new(HOME), variables.iter().copied()),
        command_line: CommandLine::default(),
        stores: STORES.to_vec(),
    }
}

fn resolve(user: &str, project: &str, variables: &[(&str, &str)]) -> Settings {
    Settings::resolve(&input(user, project, variables)).unwrap()
}

/// Every fault as text, without colours.
fn faults(user: &str, project: &str, variables: &[(&str, &str)]) -> String {
    let error = Settings::resolve(&input(user, project, variables)).unwrap_err();
    draw(error)
}

fn draw(error: SettingsError) -> String {
    error.render(false)
}

#[test]
fn defaults_match_the_contract() {
    let entries = resolve("", "", &[]).entries();
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| format!("{} = {}", entry.key, entry.shown))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    assert!(
        entries
            .iter()
            .all(|entry| entry.layer == Layer::Default && entry.place.is_none())
    );
}

#[test]
fn each_layer_covers_the_one_below_and_all_are_kept() {
    let mut input = input(
        "jobs = 2\n",
        "# comment\n[settings]\njobs = 3\n",
        &[("ISAR_BUILD_ALL_JOBS", "4")],
    );
    input.command_line.jobs = Some(Jobs::Fixed(5));
    let jobs = Settings::resolve(&input).unwrap().jobs;
    assert_eq!(
        (jobs.value, jobs.layer),
        (Jobs::Fixed(5), Layer::CommandLine)
    );
    assert_eq!(jobs.place.as_deref(), Some("--jobs"));
    let below: Vec<(Jobs, Layer, &str)> = jobs
        .overrides
        .iter()
        .map(|overridden| (overridden.value, overridden.layer, &*overridden.place))
        .collect();
    assert_eq!(
        below,
        [
            (Jobs::Fixed(4), Layer::Environment, "ISAR_BUILD_ALL_JOBS"),
            (Jobs::Fixed(3), Layer::Project, "product/variants.toml:3"),
            (
                Jobs::Fixed(2),
                Layer::User,
                "/home/user/.config/isar-build-all/config.toml:1"
            ),
        ]
    );
}

#[test]
fn relative_paths_are_those_of_the_file_or_the_working_directory() {
    let settings = resolve(
        "sstate-dir = 'cache'\nkas = 'bin/kas'\n",
        "[settings]\noutput-dir = './out/'\nkas-container = 'kas-container'\nmounts = ['mirror:/mirror:ro', '~/keys:/keys']\n",
        &[("DL_DIR", "dl"), ("KAS_REPO_REF_DIR", "~/refs")],
    );
    let user_dir = Path::new("/home/user/.config/isar-build-all");
    assert_eq!(settings.sstate_dir.value, user_dir.join("cache"));
    assert_eq!(settings.kas.value, user_dir.join("bin/kas"));
    assert_eq!(settings.output_dir.value, Path::new("/src/product/out"));
    assert_eq!(settings.kas_container.value, Path::new("kas-container"));
    assert_eq!(settings.dl_dir.value, Path::new("/src/dl"));
    assert_eq!(settings.repo_ref_dir.value, Path::new("/home/user/refs"));
    assert_eq!(
        settings.mounts.value,
        ["/src/product/mirror:/mirror:ro", "/home/user/keys:/keys"]
    );
}

#[test]
fn build_directories_move_with_the_state_directory() {
    let settings = resolve("", "[settings]\nstate-dir = '/fast'\n", &[]);
    let dirs = variant_dirs(
        &settings,
        "qemuamd64",
        "base",
        crate::base::arch::Arch::Amd64,
    );
    assert_eq!(dirs.work, Path::new("/fast/build/qemuamd64/base/work"));
    assert_eq!(dirs.build, Path::new("/fast/build/qemuamd64/base/build"));
    assert_eq!(dirs.repo_ref, Path::new("/fast/repos"));
    assert_eq!(
        dirs.dl,
        Path::new("/home/user/.cache/yocto/downloads/amd64")
    );
    assert_eq!(dirs.sstate, Path::new("/home/user/.cache/yocto/sstate"));
    assert_eq!(dirs.output, Path::new("/src/product/artifacts/qemuamd64"));
}

#[test]
fn own_variables_win_over_aliases_and_empty_ones_are_unset() {
    let settings = resolve(
        "",
        "",
        &[
            ("KAS_CONTAINER_ENGINE", "docker"),
            ("ISAR_BUILD_ALL_ENGINE", "podman"),
            ("ISAR_BUILD_ALL_JOBS", ""),
        ],
    );
    assert_eq!(settings.engine.value, EngineChoice::Podman);
    assert_eq!(settings.engine.overrides[0].place, "KAS_CONTAINER_ENGINE");
    assert_eq!(settings.jobs.layer, Layer::Default);
}

#[test]
fn lists_in_variables_are_split_as_in_a_shell() {
    let settings = resolve(
        "",
        "",
        &[
            ("ISAR_BUILD_ALL_RUNTIME_ARGS", "--cpus 2\n'-e=A B' \\\"x"),
            ("ISAR_BUILD_ALL_ENV", "A=1 'B=two words' C=\n"),
            ("ISAR_BUILD_ALL_MOUNTS", "/a:/a rel:/b:ro"),
        ],
    );
    assert_eq!(
        settings.runtime_args.value,
        ["--cpus", "2", "-e=A B", "\"x"]
    );
    let env: Vec<_> = settings.env.value.into_iter().collect();
    assert_eq!(
        env,
        [("A", "1"), ("B", "two words"), ("C", "")].map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    assert_eq!(settings.mounts.value, ["/a:/a", "/src/rel:/b:ro"]);
}

#[test]
fn color_follows_the_common_variables() {
    let color = |variables: &[(&str, &str)]| resolve("", "", variables).color.value;
    assert_eq!(color(&[]), ColorChoice::Auto);
    assert_eq!(color(&[("NO_COLOR", "")]), ColorChoice::Auto);
    assert_eq!(color(&[("NO_COLOR", "0")]), ColorChoice::Never);
    assert_eq!(color(&[("CLICOLOR_FORCE", "1")]), ColorChoice::Always);
    assert_eq!(color(&[("CLICOLOR_FORCE", "0")]), ColorChoice::Auto);
    assert_eq!(
        color(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]),
        ColorChoice::Never
    );
    assert_eq!(
        color(&[("ISAR_BUILD_ALL_COLOR", "always"), ("NO_COLOR", "1")]),
        ColorChoice::Always
    );
}

#[test]
fn numbers_are_read_as_toml_writes_them() {
    for text in ["jobs = 16", "jobs = 0x10", "jobs = 1_6", "jobs = +16"] {
        assert_eq!(resolve(text, "", &[]).jobs.value, Jobs::Fixed(16), "{text}");
    }
    for text in ["jobs = 'auto'", "jobs = \"16\""] {
        let expected = if text.contains("auto") {
            Jobs::Auto
        } else {
            Jobs::Fixed(16)
        };
        assert_eq!(resolve(text, "", &[]).jobs.value, expected, "{text}");
    }
}

#[test]
fn all_faults_of_files_and_environment_are_reported_at_once() {
    let user = "job = 2\nstore = \"nxi\"\n";
    let project = "\
[axes]
role = ['server']

[settings]
state_dir = 'x'
jobs = 0
stop-timeout = 1.5
executor = 'docker'
image = ''
mounts = ['/a:/a', 'no-container', '/a:b', 3, '/a b:/c', ':/x']
kas-args = '--force'
env = { GOOD = 'x', 2BAD = 'y', NUMBER = 4 }
engine = ['podman']
somethingelse = 1
";
    let variables = [
        ("ISAR_BUILD_ALL_JOBS", "many"),
        ("KAS_CONTAINER_ENGINE", "podmn"),
        ("ISAR_BUILD_ALL_RUNTIME_ARGS", "'open"),
        ("ISAR_BUILD_ALL_ENV", "JUST_A_NAME"),
        ("ISAR_BUILD_ALL_IMAGE", "two words"),
    ];
    insta::assert_snapshot!(faults(user, project, &variables));
}

#[test]
fn one_fault_is_singular() {
    insta::assert_snapshot!(faults("", "[settings]\njobs = -1\n", &[]));
}

#[test]
fn a_key_with_a_dot_is_a_key_of_a_table() {
    for project in [
        "[settings]\nwsl.sync-guard = \"seccomp\"\nwsl.holders-timeout = 5",
        "[settings.wsl]\nsync-guard = \"seccomp\"\nholders-timeout = 5",
    ] {
        let settings = resolve("", project, &[]);
        assert_eq!(settings.wsl_sync_guard.value, SyncGuard::Seccomp);
        assert_eq!(settings.wsl_holders_timeout.value, 5);
    }
    let variable = [("ISAR_BUILD_ALL_WSL_SYNC_GUARD", "off")];
    let settings = resolve("wsl.sync-guard = \"unmount\"", "", &variable);
    assert_eq!(settings.wsl_sync_guard.value, SyncGuard::Off);
    let said = faults("wsl.sync-gard = \"off\"", "[settings]\nwsl = 1", &[]);
    assert!(said.contains("unknown setting `wsl.sync-gard`"), "{said}");
    assert!(said.contains("did you mean `wsl.sync-guard`?"), "{said}");
    assert!(said.contains("`wsl` must be a table"), "{said}");
}

#[test]
fn settings_must_be_a_table() {
    insta::assert_snapshot!(faults("", "settings = 3\n", &[]));
}

#[test]
fn a_variable_must_be_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"/\xff");
    let mut input = input("", "", &[]);
    input.environment = Environment::new(Path::new(HOME), [("DL_DIR", value)]);
    insta::assert_snapshot!(draw(Settings::resolve(&input).unwrap_err()));
}

#[test]
fn settings_around_a_syntax_error_are_read() {
    let text = "[settings]\njobs = 3\nstore = = 'local'\nexecutor = 'kas'\n";
    let Resolution { settings, faults } = Settings::resolve_leniently(&input("", text, &[]));
    assert_eq!(settings.jobs.value, Jobs::Fixed(3));
    assert_eq!(settings.executor.value, ExecutorChoice::Kas);
    assert!(faults.iter().any(|fault| fault.syntax));
    insta::assert_snapshot!(draw(SettingsError { faults }));
}

#[test]
fn the_place_of_a_fault_counts_columns_in_characters() {
    let text = "# ü\n[settings]\nenv = { ÜBER = 'x' }\n";
    let faults = Settings::resolve_leniently(&input("", text, &[])).faults;
    let places: Vec<String> = faults.iter().map(SettingsFault::place).collect();
    // `ÜBER` is not a bare key of TOML, so the parser reports the fault.
    assert_eq!(places[0], "product/variants.toml:3:9");
}

#[test]
fn a_variable_that_overrides_the_project_causes_a_warning() {
    let project = "[settings]\ndl-dir = '/big/dl'\nsstate-dir = '/big/sstate'\njobs = 4\n";
    let mut input = input(
        "",
        project,
        &[
            ("DL_DIR", "/tmp/dl"),
            ("SSTATE_DIR", "/big/sstate"),
            ("ISAR_BUILD_ALL_JOBS", "2"),
        ],
    );
    // Equal values and options of the command line cause no warning.
    input.command_line.jobs = Some(Jobs::Fixed(1));
    let settings = Settings::resolve(&input).unwrap();
    insta::assert_snapshot!(settings.warnings().join("\n"));
}

#[test]
fn unknown_variables_cause_warnings() {
    let environment = Environment::new(
        Path::new(HOME),
        [
            ("ISAR_BUILD_ALL_JOB", "2"),
            ("ISAR_BUILD_ALL_LOG", "debug"),
            ("ISAR_BUILD_ALL_ZZZ", "1"),
        ],
    );
    insta::assert_snapshot!(unknown_variables(&environment).join("\n"));
}

#[test]
fn surroundings_follow_from_variables() {
    let of = |variables: &[(&str, &str)]| {
        let environment = Environment::new(Path::new(HOME), variables.iter().copied());
        Surroundings::of(&environment, Terminal::default())
    };
    assert_eq!(of(&[]).ci, Ci::None);
    assert_eq!(of(&[("CI", "false")]).ci, Ci::None);
    assert_eq!(of(&[("CI", "1")]).ci, Ci::Other);
    assert_eq!(of(&[("CI", "true"), ("GITLAB_CI", "true")]).ci, Ci::Gitlab);
    let github = of(&[
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_STEP_SUMMARY", "/tmp/summary"),
    ]);
    assert_eq!(github.ci, Ci::Github);
    assert_eq!(
        github.step_summary.as_deref(),
        Some(Path::new("/tmp/summary"))
    );
    assert!(of(&[("KAS_PREMIRRORS", "a b")]).premirrors);
    assert!(of(&[("TERM", "xterm")]).terminal_knows_colors);
    assert!(!of(&[("TERM", "dumb")]).terminal_knows_colors);
}

#[test]
fn the_schema_describes_every_setting() {
    let schema = json_schema(&STORES);
    for setting in SETTINGS {
        let place = setting.key.replace('.', "/properties/");
        let described = schema.pointer(&format!("/properties/{place}/description"));
        assert!(described.is_some(), "{}", setting.key);
        assert!(setting.doc.trim().ends_with('.'), "{}", setting.key);
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).unwrap());
}
