use crate::settings::CommandLine;
use crate::store::BACKENDS;
use crate::store::choice::*;
use crate::tools::tests::made::*;

fn choose(bin: &Bin, change: impl Fn(&mut CommandLine)) -> Result<ChosenStore, StoreChoiceError> {
    ChosenStore::choose(BACKENDS, &bin.settings(change), &bin.environment())
}

fn named(name: &'static str) -> impl Fn(&mut CommandLine) {
    move |line| line.store = Some(StoreChoice::of(name))
}

#[test]
fn a_usable_nix_is_chosen() {
    let bin = Bin::new(&[("nix-store", NIX_STORE)]);
    for dir in ["store", "state/db"] {
        std::fs::create_dir_all(bin.path(dir)).unwrap();
    }
    let automatic = choose(&bin, nothing).unwrap();
    assert_eq!(automatic.kind(), "nix");
    assert_eq!(automatic.note(), None);
    let local = choose(&bin, named("local")).unwrap();
    assert_eq!(local.kind(), "local");
    assert_eq!(local.note(), None);
}

#[test]
fn the_local_store_replaces_an_unusable_nix_unless_nix_is_configured() {
    let unconnected = r#"case "$1" in
--version) echo "nix-store (Nix) 2.8.0" ;;
*) echo "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory" >&2; exit 1 ;;
esac"#;
    let mut text = String::new();
    for (name, programs) in [
        ("absent", &[][..]),
        ("read-only and no daemon", &[("nix-store", NIX_STORE)]),
        ("daemon stopped", &[("nix-store", unconnected)]),
        ("no version", &[("nix-store", "echo hello")]),
    ] {
        let bin = Bin::new(programs);
        let automatic = choose(&bin, nothing).unwrap();
        assert_eq!(automatic.kind(), "local");
        let note = automatic.note().unwrap();
        let error = choose(&bin, named("nix")).unwrap_err();
        let hint = error.hint().unwrap();
        text += &bin.neutral(&format!(
            "# {name}\n{}\nhint: {}\n{error}\nhint: {hint}\n\n",
            note.message, note.hint
        ));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_store_without_a_backend_is_refused() {
    let bin = Bin::new(&[]);
    let error = choose(&bin, named("glass")).unwrap_err();
    assert_eq!(error, StoreChoiceError::Unknown("glass".to_owned()));
}
