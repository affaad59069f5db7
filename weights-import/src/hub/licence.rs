//! Licences that do not allow every use.

use super::HubId;

/// A licence that restricts use, and what it says in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Licence {
    /// Its name.
    pub name: &'static str,
    /// What it restricts.
    pub terms: &'static str,
}

/// Owner, how a model's name begins, licence. The model's own page has the last word.
const RESTRICTED: [(&str, &str, Licence); 2] = [
    (
        "facebook",
        "opt-",
        Licence {
            name: "OPT-175B License Agreement",
            terms: "non-commercial research use only",
        },
    ),
    (
        "InstaDeepAI",
        "nucleotide-transformer",
        Licence {
            name: "CC BY-NC-SA 4.0",
            terms: "non-commercial use only, with attribution; what is derived from it is shared alike",
        },
    ),
];

/// The licence of a model, if it is known to restrict use.
pub(super) fn of(id: &HubId) -> Option<&'static Licence> {
    RESTRICTED.iter().find_map(|(owner, start, licence)| {
        let begins = |text: &str| {
            let head = text.get(..start.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(start))
        };
        (id.owner().eq_ignore_ascii_case(owner) && begins(id.name())).then_some(licence)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn models_of_restricted_use_are_known_by_owner_and_name() {
        let name = |id| of(&HubId::parse(id).unwrap()).map(|licence| licence.name);
        let opt = Some("OPT-175B License Agreement");
        assert_eq!(name("facebook/opt-125m"), opt);
        assert_eq!(name("Facebook/OPT-1.3b@main"), opt);
        let nt = "InstaDeepAI/nucleotide-transformer-500m-human-ref";
        assert_eq!(name(nt), Some("CC BY-NC-SA 4.0"));
        assert_eq!(name("somebody/opt-125m"), None);
        assert_eq!(name("facebook/bart"), None);
    }
}
