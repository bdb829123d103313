//! Properties of expansion and selection, over matrices made up at random.

use std::collections::BTreeSet;

use isar_build_all::base::arch::Arch;
use isar_build_all::matrix::Matrix;
use isar_build_all::matrix::parse::{ParseOptions, ParsedMatrix, parse};
use isar_build_all::matrix::selection::select;
use proptest::prelude::*;

/// A file with one entry: machines m0…, axes a0… with values v0…, and what is excluded and included.
#[derive(Debug, Clone)]
struct Made {
    machines: usize,
    /// How many values each axis has, and whether the entry leaves it unset.
    axes: Vec<(usize, bool)>,
    /// Combinations to leave out, by their place in the product.
    excluded: BTreeSet<usize>,
    /// Whether the combination in which all axes are unset is added for the first machine.
    with_bare: bool,
}

impl Made {
    fn values(&self) -> impl Iterator<Item = usize> {
        self.axes
            .iter()
            .filter(|(_, unset)| !unset)
            .map(|(count, _)| *count)
    }

    fn product(&self) -> usize {
        self.machines * self.values().product::<usize>()
    }

    /// The combinations of the product as machine and a value of each set axis, last axis fastest.
    fn combination(&self, mut place: usize) -> (usize, Vec<(usize, usize)>) {
        let mut values = Vec::new();
        for (axis, (count, unset)) in self.axes.iter().enumerate().rev() {
            if !unset {
                values.push((axis, place % count));
                place /= count;
            }
        }
        values.reverse();
        (place, values)
    }

    fn can_add_bare(&self) -> bool {
        self.with_bare && self.values().count() > 0
    }

    fn toml(&self) -> String {
        let names = |prefix: &str, count: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("\"{prefix}{n}\"")).collect();
            format!("[{}]", names.join(", "))
        };
        let mut text = "schema = 1\n[axes]\n".to_owned();
        for (axis, (count, _)) in self.axes.iter().enumerate() {
            text += &format!("a{axis} = {}\n", names("v", *count));
        }
        let groups: String = (0..self.axes.len())
            .map(|axis| format!("[-{axis}={{a{axis}}}]"))
            .collect();
        text += &format!("[naming]\nid = \"x{groups}\"\ndeploy_name = \"d{{extension}}\"\n");
        text += "[artifacts]\nwic = { extension = \".wic\" }\n[kas]\nchain = [\"a.yml\"]\n";
        for machine in 0..self.machines {
            text += &format!("[machines.m{machine}]\narch = \"amd64\"\nartifacts = [\"wic\"]\n");
        }
        text += &format!("[[variants]]\nmachine = {}\n", names("m", self.machines));
        for (axis, (count, unset)) in self.axes.iter().enumerate() {
            if !unset {
                text += &format!("a{axis} = {}\n", names("v", *count));
            }
        }
        let excluded: Vec<String> = self
            .excluded
            .iter()
            .map(|place| {
                let (machine, values) = self.combination(*place);
                let values: String = values
                    .iter()
                    .map(|(axis, value)| format!(", a{axis} = \"v{value}\""))
                    .collect();
                format!("{{ machine = \"m{machine}\"{values} }}")
            })
            .collect();
        text += &format!("exclude = [{}]\n", excluded.join(", "));
        if self.can_add_bare() {
            let unset: String = (0..self.axes.len())
                .map(|axis| format!(", a{axis} = false"))
                .collect();
            text += &format!("include = [{{ machine = \"m0\"{unset} }}]\n");
        }
        text
    }

    fn expected(&self) -> Vec<String> {
        let product = (0..self.product())
            .filter(|place| !self.excluded.contains(place))
            .map(|place| {
                let (machine, values) = self.combination(place);
                let values: String = values
                    .iter()
                    .map(|(axis, value)| format!("-{axis}=v{value}"))
                    .collect();
                format!("m{machine}/x{values}")
            });
        product
            .chain(self.can_add_bare().then(|| "m0/x".to_owned()))
            .collect()
    }
}

fn made() -> impl Strategy<Value = Made> {
    let axes = proptest::collection::vec((1_usize..4, any::<bool>()), 0..4);
    (1_usize..4, axes, any::<bool>()).prop_flat_map(|(machines, axes, with_bare)| {
        let base = Made {
            machines,
            axes,
            excluded: BTreeSet::new(),
            with_bare,
        };
        let product = base.product();
        proptest::collection::btree_set(0..product, 0..product).prop_map(move |excluded| Made {
            excluded,
            ..base.clone()
        })
    })
}

fn matrix(made: &Made) -> Matrix {
    let source = made.toml();
    let ParsedMatrix { matrix, faults, .. } = parse(&source, &ParseOptions::default());
    matrix.unwrap_or_else(|| panic!("{}", faults.render("variants.toml", &source, false)))
}

fn keys(matrix: &Matrix) -> Vec<String> {
    matrix
        .variants
        .iter()
        .map(|variant| variant.key.to_string())
        .collect()
}

proptest! {
    #[test]
    fn a_matrix_is_the_product_less_what_is_excluded_and_what_is_included(made in made()) {
        let matrix = matrix(&made);
        let added = usize::from(made.can_add_bare());
        prop_assert_eq!(matrix.variants.len(), made.product() - made.excluded.len() + added);
        prop_assert_eq!(keys(&matrix), made.expected());
    }

    #[test]
    fn names_are_unique(made in made()) {
        let matrix = matrix(&made);
        let keys = keys(&matrix);
        prop_assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
        let names: Vec<&str> = matrix
            .variants
            .iter()
            .flat_map(|variant| &variant.artifacts)
            .map(|artifact| artifact.unique_name.as_str())
            .collect();
        prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn reading_twice_is_the_same(made in made()) {
        prop_assert_eq!(matrix(&made), matrix(&made));
    }

    #[test]
    fn a_selection_is_a_part_in_the_same_order(made in made(), machine in 0_usize..3, value in 0_usize..3) {
        let whole = matrix(&made);
        let all = keys(&whole);
        let glob = format!("*=v{value}*");
        let machine = format!("m{machine}");
        let wanted: Vec<String> = all
            .iter()
            .filter(|key| key.starts_with(&format!("{machine}/")) && key.contains(&format!("=v{value}")))
            .cloned()
            .collect();
        match select(whole.clone(), &[glob], std::slice::from_ref(&machine)) {
            Ok(part) => prop_assert_eq!(keys(&part), wanted),
            Err(_) => prop_assert!(wanted.is_empty()),
        }
        let nothing_said = select(whole.clone(), &[], &[]).ok();
        prop_assert_eq!(nothing_said, Some(whole));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "(schema = 1|\\[axes\\]|\\[\\[variants\\]\\]|[a-z]{1,6} = |\\[|\\]|\\{|\\}|\"|,|\\.|é|1|true|\n){0,40}") {
        let reading = parse(&text, &ParseOptions::default());
        prop_assert!(reading.matrix.is_none());
        prop_assert!(!reading.faults.render("variants.toml", &text, true).is_empty());
    }

    #[test]
    fn a_file_with_a_hole_is_read_without_a_panic(from in 0_usize..2600, length in 1_usize..40) {
        let whole = include_str!("../../examples/n3x/variants.toml");
        let text: String = whole
            .char_indices()
            .filter(|(at, _)| !(from..from + length).contains(at))
            .map(|(_, c)| c)
            .collect();
        let options = ParseOptions { host: Some(Arch::Amd64), ..ParseOptions::default() };
        let ParsedMatrix { matrix, faults, .. } = parse(&text, &options);
        prop_assert_eq!(matrix.is_some(), faults.is_empty());
        let rendered = faults.render("variants.toml", &text, false);
        prop_assert_eq!(rendered.matches("error:").count() >= faults.len(), true);
    }
}

#[test]
fn what_selects_nothing_says_what_there_is() {
    let made = Made {
        machines: 2,
        axes: vec![(2, false)],
        excluded: BTreeSet::from([3]),
        with_bare: false,
    };
    let of = |variants: &[&str], machines: &[&str]| {
        let owned = |words: &[&str]| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        };
        match select(matrix(&made), &owned(variants), &owned(machines)) {
            Ok(part) => format!("{variants:?} {machines:?}\n{}\n", keys(&part).join(" ")),
            Err(faults) => format!(
                "{variants:?} {machines:?}\n{}",
                faults.render("", "", false)
            ),
        }
    };
    let all = [
        of(&["x-0=v0"], &[]),
        of(&["m1/x-0=v0"], &[]),
        of(&["x-0=v1", "m1/*"], &[]),
        of(&[], &["m*"]),
        of(&["x-0=v9"], &[]),
        of(&["m2/x-0=v0", "nothing"], &[]),
        of(&[], &["m", "qemu"]),
        of(&["x-0=v1"], &["m1"]),
        of(&["["], &["["]),
    ];
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(all.join("\n"));
    });
}
