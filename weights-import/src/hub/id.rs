//! Names of models on the hub.

use std::fmt;

/// The longest owner or name, as the hub has it.
const MAX_LEN: usize = 96;

/// `owner/name` or `owner/name@revision`.
///
/// Each part is of letters, digits, `.`, `_` and `-` alone and none is `..`, so that a name can neither leave the cache
/// nor mean another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubId {
    owner: String,
    name: String,
    revision: Option<String>,
}

impl HubId {
    /// Reads a name; nothing if the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (model, revision) = match text.split_once('@') {
            Some((model, revision)) => (model, Some(revision)),
            None => (text, None),
        };
        let (owner, name) = model.split_once('/')?;
        let of_hub = |part: &str| is_plain(part) && !part.contains("--");
        (of_hub(owner) && of_hub(name) && revision.is_none_or(is_plain)).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.map(str::to_owned),
        })
    }

    /// Who published it.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `owner/name`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// The branch, tag or commit that was named.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The same model at a commit, which never changes.
    pub fn at(&self, commit: &str) -> Self {
        Self {
            revision: Some(commit.to_owned()),
            ..self.clone()
        }
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

/// Whether a text is a harmless part of a path and of an address.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_LEN).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with(['.', '-'])
        && !text.ends_with('.')
        && !text.contains("..")
}

/// Whether a text is a Git commit.
pub(super) fn is_commit(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 40 && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_of_the_hub_are_read() {
        for text in [
            "facebook/opt-125m",
            "InstaDeepAI/nucleotide-transformer-v2-50m-multi-species",
            "zhihan1996/DNABERT-2-117M@main",
            "owner/name@7bce1e2d3f405162738495a6b7c8d9e0f1a2b3c4",
            "a/b.c_d@v1.0",
        ] {
            assert_eq!(HubId::parse(text).unwrap().to_string(), text);
        }
        let id = HubId::parse("facebook/opt-125m@main").unwrap();
        assert_eq!(
            (id.owner(), id.name(), id.revision()),
            ("facebook", "opt-125m", Some("main"))
        );
        assert_eq!(id.at("v2").to_string(), "facebook/opt-125m@v2");
    }

    #[test]
    fn what_could_leave_the_cache_is_no_name() {
        for text in [
            "",
            "opt-125m",
            "/opt-125m",
            "owner/",
            "../name",
            "owner/..",
            "./name",
            "owner/.",
            "owner/na..me",
            "a/b/c",
            "/etc/passwd",
            "owner\\name/x",
            "C:/x",
            "owner/name@",
            "owner/name@..",
            "owner/name@a/b",
            "owner/name@refs/../x",
            "owner/name@a@b",
            "owner/na me",
            "owner/name?x",
            "owner/name#x",
            "owner/na%2fme",
            "owner/n\0me",
            "owner/nämé",
            "a--b/c",
            "-owner/name",
            ".owner/name",
        ] {
            assert_eq!(HubId::parse(text), None, "{text}");
        }
        assert_eq!(HubId::parse(&format!("a/{}", "b".repeat(97))), None);
    }

    #[test]
    fn commits_are_forty_lower_case_digits() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert!(is_commit(commit));
        for text in ["main", "", &commit[1..], &commit.to_uppercase()] {
            assert!(!is_commit(text), "{text}");
        }
    }
}
