//! [`Region`]. Any name is valid: there is no list of regions, because providers add and remove them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

/// The region where a node runs: a provider's code such as `iad` or `hkg`, or any other name.
///
/// Case and surrounding white space are ignored, so that `HKG` from an environment variable equals
/// `"hkg"` in the code. The empty region matches no node.
///
/// Cloning is cheap: names of up to 23 bytes are stored inline, longer ones are shared.
///
/// ```
/// use flyrpc::Region;
///
/// assert_eq!(Region::from("HKG"), "hkg");
/// assert!(Region::from("").is_empty());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(SmolStr);

/// The longest name that [`SmolStr::new_inline`] accepts, in bytes.
const INLINE: usize = 23;

impl Region {
    /// The default region of a node, and the default primary region.
    pub const LOCAL: Region = Region(SmolStr::new_static("local"));

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is empty. The empty region matches no node.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Region {
    fn from(name: &str) -> Self {
        // Nearly every name, in every call.
        if name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()) {
            return Region(if name.len() <= INLINE {
                SmolStr::new_inline(name)
            } else {
                SmolStr::new(name)
            });
        }
        let name = name.trim();
        if name.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
            Region(SmolStr::from(name.to_lowercase()))
        } else {
            Region(SmolStr::new(name))
        }
    }
}

impl From<String> for Region {
    fn from(name: String) -> Self {
        Region::from(name.as_str())
    }
}

impl From<&String> for Region {
    fn from(name: &String) -> Self {
        Region::from(name.as_str())
    }
}

impl From<&Region> for Region {
    fn from(region: &Region) -> Self {
        region.clone()
    }
}

impl AsRef<str> for Region {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Region {
    /// Compares `other` as a region: `Region::from("hkg") == *"HKG"`.
    fn eq(&self, other: &str) -> bool {
        let other = Region::from(other);
        *self == other
    }
}

impl PartialEq<&str> for Region {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Region::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_surrounding_space_do_not_distinguish_regions() {
        assert_eq!(Region::from(" HKG\n"), Region::from("hkg"));
        assert_eq!(Region::from("ÉVRY"), Region::from("évry"));
        assert_ne!(Region::from("hkg"), Region::from("iad"));
    }
}
