//! The option table: every option of `relion_refine`, once (spec 03 §3.2–3.3, spec 01 §9).
//!
//! The help text, `docs/options.md`, the parser and the refusal texts all read these rows, so that they cannot disagree.

mod computation;
mod expert;
mod families;
mod general;
mod gradient;
mod older;
mod orientations;

use super::entry::OptionEntry;

/// Every option, in the order of the help text.
pub fn all() -> impl Iterator<Item = &'static OptionEntry> {
    [
        general::GENERAL,
        general::INITIALISATION,
        orientations::ORIENTATIONS,
        orientations::CORRECTIONS,
        computation::COMPUTATION,
        expert::EXPERT,
        expert::HIDDEN,
        expert::CONTINUE_ONLY,
        older::OLDER,
        older::REMOVED,
        families::HELIX,
        gradient::GRADIENT,
        families::TOMOGRAPHY,
        families::MULTI_BODY,
    ]
    .into_iter()
    .flatten()
}

/// The row of an option, by its exact name (with dashes).
pub fn find(name: &str) -> Option<&'static OptionEntry> {
    all().find(|entry| entry.name == name)
}

/// The option whose name is most like `word`, if one is like it enough to be worth naming.
pub fn nearest(word: &str) -> Option<&'static str> {
    let key = |name: &str| {
        name.trim_start_matches('-')
            .to_lowercase()
            .replace('-', "_")
    };
    let wanted = key(word);
    all()
        .map(|entry| {
            (
                strsim::normalized_damerau_levenshtein(&wanted, &key(entry.name)),
                entry.name,
            )
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity >= 0.6)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Group, Kind, OnContinue, Treatment};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_option_is_defined_once_and_described() {
        let mut names = HashSet::new();
        for entry in all() {
            assert!(names.insert(entry.name), "{} twice", entry.name);
            assert!(entry.name.starts_with("--"), "{}", entry.name);
            assert!(entry.meaning.len() > 8, "{} not described", entry.name);
            if let Treatment::Refused(reason) | Treatment::WithoutEffect(reason) = entry.treatment {
                assert!(
                    reason.len() > 10 && !reason.contains('\n'),
                    "{}",
                    entry.name
                );
            }
        }
        assert!(names.len() > 190, "only {} options", names.len());
    }

    #[test]
    fn defaults_are_of_the_kind_declared() {
        for entry in all() {
            match entry.kind {
                Kind::Flag | Kind::OptionalText | Kind::Bytes => assert_eq!(entry.default, ""),
                Kind::Text => {}
                Kind::Integer => assert!(entry.default.parse::<i64>().is_ok(), "{}", entry.name),
                Kind::Real => assert!(entry.default.parse::<f64>().is_ok(), "{}", entry.name),
            }
        }
    }

    /// A number that no run could use is refused by the table, whichever option has it.
    #[test]
    fn options_of_numbers_state_which_are_possible() {
        for entry in all().filter(|e| e.treatment == Treatment::Works) {
            if matches!(entry.kind, Kind::Integer | Kind::Real) {
                assert!(!entry.range.stated().is_empty(), "{}", entry.name);
                let default = entry.default.parse().unwrap();
                assert!(entry.range.holds(default), "{}", entry.name);
                assert!(!entry.range.holds(-1e9), "{}", entry.name);
            }
        }
    }

    #[test]
    fn options_need_others_that_exist() {
        let needed: Vec<_> = all().filter_map(|entry| entry.needs).collect();
        assert!(needed.len() >= 5);
        assert!(needed.into_iter().all(|name| find(name).is_some()));
    }

    #[test]
    fn only_flags_are_switched_on() {
        for entry in all().filter(|e| e.on_continue == OnContinue::SwitchOn) {
            assert_eq!(entry.kind, Kind::Flag, "{}", entry.name);
        }
    }

    #[test]
    fn every_group_has_rows_and_they_stand_together() {
        let mut order: Vec<Group> = all().map(|e| e.group).collect();
        order.dedup();
        assert_eq!(order, Group::ALL);
    }

    #[test]
    fn similar_names_are_found_and_nonsense_is_not() {
        assert_eq!(nearest("--auto_refin"), Some("--auto_refine"));
        assert_eq!(nearest("-¬auto_refine"), Some("--auto_refine"));
        assert_eq!(nearest("--tau_fudge"), Some("--tau2_fudge"));
        assert_eq!(nearest("--healpix-order"), Some("--healpix_order"));
        assert_eq!(nearest("--xyzzy_plugh"), None);
    }
}
